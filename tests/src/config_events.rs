//! AWS Config for a function that answers it: moto accepts the evaluations, and this module adds the missing parts.
//!
//! ```text
//! event ──▶ the built function ──▶ control plane (the mesh), MiniStack (the state)
//!                    └──▶ the relay (records requests) ──▶ items that AWS Config would have recorded
//!                                                      └──▶ moto (accepts or refuses the evaluations)
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::disturbed::Scene;
use crate::function::Build;
use crate::moto::Moto;
use crate::shop_scene::documents;
use crate::stack::{ControlPlane, MiniStack, create_state_table, items, let_leases_run_out, let_time_pass, sdk_config};
use crate::way::Way;

const MESH: &str = "/v20190125/meshes/shop";

/// A server in front of moto's AWS Config. It returns the items of App Mesh resources, which moto cannot store.
#[derive(Debug)]
struct ConfigService {
    endpoint: String,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Recorder {
    moto: String,
    client: reqwest::Client,
    /// The item that `GetResourceConfigHistory` returns, by resource.
    items: BTreeMap<String, Value>,
}

impl ConfigService {
    async fn before(moto: &str, items: BTreeMap<String, Value>) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let recorder = Recorder { moto: moto.to_owned(), client, items };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(relay).with_state(recorder);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { endpoint, serving }
    }
}

impl Drop for ConfigService {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn relay(State(recorder): State<Recorder>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    if target.ends_with(".GetResourceConfigHistory") {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let id = request["resourceId"].as_str().unwrap_or_default();
        if let Some(item) = recorder.items.get(id) {
            let answer = json!({ "configurationItems": [item] }).to_string();
            return ([("content-type", "application/x-amz-json-1.1")], answer).into_response();
        }
    }
    let mut onward = recorder.client.post(&recorder.moto).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str())) {
        onward = onward.header(name, value);
    }
    let Ok(answer) = onward.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    (status, [("content-type", kind)], answer.bytes().await.unwrap()).into_response()
}

/// The test fixture of one function: a mesh, the state table, and AWS Config. Dropping it ends all of them.
#[derive(Debug)]
pub struct Stage {
    function: &'static str,
    plane: ControlPlane,
    way: Way,
    policy: PathBuf,
    table: String,
    client: reqwest::Client,
    /// The number of `PutEvaluations` requests that [`Stage::evaluations`] has returned.
    seen: AtomicUsize,
    _config: ConfigService,
    services: Arc<Services>,
}

/// The services that several fixtures share.
#[derive(Debug)]
pub struct Services {
    moto: Moto,
    stack: MiniStack,
}

impl Services {
    /// Starts the services. `None`, with the reason printed, if one is not installed.
    pub async fn start() -> Option<Arc<Self>> {
        let (moto, stack) = (Moto::start().await?, MiniStack::start().await?);
        let topics = aws_sdk_sns::Client::new(&sdk_config(&stack.endpoint).await);
        topics.create_topic().name("notices").send().await.unwrap();
        Some(Arc::new(Self { moto, stack }))
    }
}

impl Services {
    /// Stores a policy in S3 and in Systems Manager.
    pub async fn store_policy(&self, policy: &str) {
        self.stack.store_policy(policy).await;
    }
}

/// One evaluation that AWS Config received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedEvaluation {
    /// The resource's type, as in `AWS::AppMesh::VirtualNode`.
    pub resource_type: String,
    /// The compliance of the resource.
    pub compliance: String,
    /// The annotation with the reason.
    pub annotation: String,
    /// The time of the evaluated state, in milliseconds of Unix time.
    pub at: i64,
}

impl Stage {
    /// Creates the fixture with a policy document and the items that AWS Config has recorded, by resource. `None`, with
    /// the reason printed, if moto or `MiniStack` is not installed.
    pub async fn open(function: &'static str, policy: &str, items: &[(&str, Value)]) -> Option<Self> {
        Some(Self::with(Services::start().await?, function, policy, items).await)
    }

    /// Creates the fixture with services that other fixtures use as well.
    pub async fn with(services: Arc<Services>, function: &'static str, policy: &str, items: &[(&str, Value)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Services { moto, stack } = &*services;
        let items = items.iter().map(|(path, item)| (arn(path), item.clone())).collect();
        let config = ConfigService::before(&moto.endpoint, items).await;
        let plane = ControlPlane::start().await;
        let mut endpoints = stack.variables().to_vec();
        endpoints.push(("AWS_ENDPOINT_URL_APP_MESH", &plane.endpoint));
        endpoints.push(("AWS_ENDPOINT_URL_CONFIG_SERVICE", &config.endpoint));
        let way = Way::to(&endpoints).await;
        let table = format!("{function}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        create_state_table(&aws_sdk_dynamodb::Client::new(&sdk_config(&stack.endpoint).await), &table).await;
        let file = std::env::temp_dir().join(format!("meshwarden-{table}.yaml"));
        std::fs::write(&file, policy).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let seen = AtomicUsize::new(0);
        Self { function, plane, way, policy: file, table, client, seen, _config: config, services }
    }

    /// The build of the function with the settings of this fixture: `env!("CARGO_BIN_EXE_<name>")`.
    pub fn build(&self, binary: &str) -> Build {
        Build::new(self.function, binary)
            .calls(&self.way)
            .with("MESHWARDEN_POLICY", self.policy.to_string_lossy())
            .with("MESHWARDEN_TABLE", &self.table)
    }

    /// Creates the mesh `shop`, or a resource in it: `("virtualNodes", {...})`.
    pub async fn create(&self, below: &str, body: Value) {
        let path = if below.is_empty() { "/v20190125/meshes".to_owned() } else { format!("{MESH}/{below}") };
        let request = self.client.put(format!("{}{path}", self.plane.endpoint)).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert_eq!(status, StatusCode::OK, "{path}: {}", answer.text().await.unwrap());
    }

    /// Waits until a resource is older than its time of grace, by the clock that the function reads too.
    pub async fn outlast_grace(&self, below: &str, grace: SignedDuration) {
        let described = self.client.get(format!("{}{MESH}/{below}", self.plane.endpoint)).send().await.unwrap();
        let described: Value = described.json().await.unwrap();
        let created = described["metadata"]["createdAt"].as_f64().unwrap();
        let created = Timestamp::from_duration(SignedDuration::from_secs_f64(created)).unwrap();
        while Timestamp::now() <= created + grace {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A sample event of the function in the form of a rule's test mode: moto accepts no other evaluations.
    pub fn trial(&self, event: &str) -> Value {
        let mut event = self.sample(event);
        event["resultToken"] = json!("TESTMODE");
        event
    }

    /// A sample event of the function.
    pub fn sample(&self, event: &str) -> Value {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("events").join(self.function);
        serde_json::from_str(&std::fs::read_to_string(folder.join(format!("{event}.json"))).unwrap()).unwrap()
    }

    /// The evaluations that AWS Config has received since the last call of this method, one map for each request. The
    /// keys are resources, as in `mesh/shop/virtualNode/cart`. Every request must be in test mode.
    pub fn evaluations(&self) -> Vec<BTreeMap<String, ReceivedEvaluation>> {
        let put = self.way.passed().into_iter().filter(|passed| passed.operation == "PutEvaluations");
        let put: Vec<Value> = put.map(|passed| serde_json::from_str(&passed.body).unwrap()).collect();
        let seen = self.seen.swap(put.len(), Ordering::Relaxed);
        put[seen..].iter().map(evaluations_of).collect()
    }

    /// Converts it into the fixture of one case: the built function, invoked with one sample event.
    pub const fn scene(self, binary: &'static str, event: &'static str) -> ConfigScene {
        ConfigScene { stage: self, binary, event }
    }

    /// The relay between the function and the services.
    pub const fn way(&self) -> &Way {
        &self.way
    }

    /// The number of calls of an operation.
    pub fn calls(&self, operation: &str) -> usize {
        self.way.count(operation)
    }
}

fn evaluations_of(request: &Value) -> BTreeMap<String, ReceivedEvaluation> {
    assert_eq!((&request["TestMode"], &request["ResultToken"]), (&json!(true), &json!("TESTMODE")));
    let evaluations = request["Evaluations"].as_array().unwrap();
    assert!(evaluations.len() <= 100, "AWS Config accepts at most 100 evaluations a request");
    evaluations.iter().map(evaluation_of_resource).collect()
}

fn evaluation_of_resource(evaluation: &Value) -> (String, ReceivedEvaluation) {
    let text = |member: &str| evaluation[member].as_str().unwrap_or_default().to_owned();
    let id = text("ComplianceResourceId");
    let path = id.split_once(":mesh/").map_or(id.clone(), |(_, path)| format!("mesh/{path}"));
    assert!(text("Annotation").chars().count() <= 256);
    #[expect(clippy::cast_possible_truncation, reason = "times of this century in milliseconds")]
    let at = (evaluation["OrderingTimestamp"].as_f64().unwrap() * 1000.0).round() as i64;
    let (resource_type, compliance) = (text("ComplianceResourceType"), text("ComplianceType"));
    (path, ReceivedEvaluation { resource_type, compliance, annotation: text("Annotation"), at })
}

/// The fixture of one case of a function that answers AWS Config.
#[derive(Debug)]
pub struct ConfigScene {
    stage: Stage,
    binary: &'static str,
    event: &'static str,
}

impl ConfigScene {
    /// Converts it back into the fixture that it was created from.
    pub fn into_stage(self) -> Stage {
        self.stage
    }
}

impl Scene for ConfigScene {
    fn way(&self) -> &Way {
        &self.stage.way
    }

    fn build(&self) -> Build {
        let topic = format!("arn:aws:sns:{}:{}:notices", crate::stack::REGION, crate::stack::ACCOUNT);
        self.stage.build(self.binary).with("MESHWARDEN_TOPIC", topic).with("MESHWARDEN_BUS", "default")
    }

    fn event(&self) -> Value {
        self.stage.trial(self.event)
    }

    async fn settle(&self) {
        let_leases_run_out(&self.stage.state().await, &self.stage.table).await;
    }

    async fn pass(&self, time: SignedDuration) {
        let_time_pass(&self.stage.state().await, &self.stage.table, time).await;
    }

    async fn end(&self) -> BTreeMap<String, Value> {
        documents(items(&self.stage.state().await, &self.stage.table).await)
    }
}

impl Stage {
    async fn state(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&sdk_config(&self.services.stack.endpoint).await)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        std::fs::remove_file(&self.policy).ok();
    }
}

/// The id of a resource in AWS Config: its ARN.
#[must_use]
pub fn arn(path: &str) -> String {
    format!("arn:aws:appmesh:{}:{}:{path}", crate::stack::REGION, crate::stack::ACCOUNT)
}
