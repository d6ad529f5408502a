//! A mesh with one route, its alarm, table and topic.

use std::path::PathBuf;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricDatum, StateValue, Statistic};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use meshwarden_tests::function::{Build, sample};
use meshwarden_tests::stack::{ControlPlane, MiniStack, create_state_table, items, sdk_config};
use meshwarden_tests::way::Way;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const MESH: &str = "/v20190125/meshes/shop";
const ROUTE: &str = "/v20190125/meshes/shop/virtualRouter/recs/routes/all";

/// Everything around one function.
pub(crate) struct Stage {
    plane: ControlPlane,
    pub(crate) way: Way,
    config: SdkConfig,
    name: String,
    topic: String,
    policy: PathBuf,
    front: JoinHandle<()>,
}

/// A request with an alarm as its gate. It has no bake time, and its first step lasts longer than the test.
pub(crate) fn request(alarm: &str, strategy: &str, steps: &[&str]) -> Value {
    let mut event = sample("traffic-shift", "rollout-requested");
    event["time"] = json!(jiff::Timestamp::now());
    let steps: Vec<u8> = steps.iter().map(|step| step.parse().unwrap()).collect();
    event["detail"] = json!({
        "id": "r1", "mesh": "shop", "routes": ["recs/all"], "moves": [{ "from": "recs-v1", "to": "recs-v2" }],
        "strategy": strategy, "interval": "1h", "bake": "0s", "gates": { "alarms": [alarm] }, "by": "a test",
    });
    if !steps.is_empty() {
        event["detail"]["steps"] = json!(steps);
    }
    event
}

impl Stage {
    pub(crate) async fn open(stack: &MiniStack, name: &str) -> Self {
        Self::with_alarm(stack, name, &[]).await
    }

    /// A stage with these endpoints in place of those of the stack.
    pub(crate) async fn with_alarm(stack: &MiniStack, name: &str, replaced: &[(&'static str, &str)]) -> Self {
        let stage = Self::without_alarm(stack, name, replaced).await;
        stage.build_alarm().await;
        stage
    }

    /// A stage with these endpoints in place of those of the stack, and without an alarm.
    pub(crate) async fn without_alarm(stack: &MiniStack, name: &str, replaced: &[(&'static str, &str)]) -> Self {
        let plane = ControlPlane::start().await;
        let (address, front) = front(&plane.endpoint).await;
        let mut services = stack.variables().to_vec();
        services.retain(|(variable, _)| !replaced.iter().any(|(other, _)| other == variable));
        services.push(("AWS_ENDPOINT_URL_APP_MESH", &address));
        services.extend_from_slice(replaced);
        let way = Way::to(&services).await;
        let config = sdk_config(&stack.endpoint).await;
        let topic = aws_sdk_sns::Client::new(&config).create_topic().name("notices").send().await.unwrap();
        let policy = std::env::temp_dir().join(format!("meshwarden-shift-{}-{name}.yaml", std::process::id()));
        let text = format!(
            "version: 1\nmodes: {{default: enforce}}\nfailover: {{discovery: {{prefix: {name}-}}}}\n\
             rollouts: {{metrics: {{namespace: {name}}}}}\n"
        );
        std::fs::write(&policy, text).unwrap();
        let topic = topic.topic_arn.unwrap();
        let stage = Self { plane, way, config, name: name.to_owned(), topic, policy, front };
        stage.build_mesh().await;
        create_state_table(&stage.table(), name).await;
        stage
    }

    async fn build_mesh(&self) {
        let put = |below: &'static str, name: &'static str, value: &'static str, spec: Value| async move {
            self.plane.put(&format!("{MESH}/{below}"), &json!({ name: value, "spec": spec })).await;
        };
        self.plane.put("/v20190125/meshes", &json!({ "meshName": "shop" })).await;
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        for node in ["recs-v1", "recs-v2"] {
            let dns = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
            put("virtualNodes", "virtualNodeName", node, json!({ "listeners": [listener], "serviceDiscovery": dns }))
                .await;
        }
        put("virtualRouters", "virtualRouterName", "recs", json!({ "listeners": [listener] })).await;
        put("virtualRouter/recs/routes", "routeName", "all", route_spec([8, 0])).await;
        let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } });
        put("virtualServices", "virtualServiceName", "recs.shop.local", provider).await;
        let backend = json!({ "virtualService": { "virtualServiceName": "recs.shop.local" } });
        let dns = json!({ "dns": { "hostname": "web.shop.local" } });
        let spec = json!({ "listeners": [listener], "serviceDiscovery": dns, "backends": [backend] });
        put("virtualNodes", "virtualNodeName", "web", spec).await;
    }

    async fn build_alarm(&self) {
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        client
            .put_metric_alarm()
            .alarm_name(self.alarm())
            .namespace("Shop")
            .metric_name("CheckoutErrors")
            .dimensions(Dimension::builder().name("Service").value("checkout").build())
            .period(60)
            .statistic(Statistic::Sum)
            .evaluation_periods(1)
            .threshold(5.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .send()
            .await
            .unwrap();
        self.turn(StateValue::Ok).await;
    }

    /// The name of the alarm.
    pub(crate) fn alarm(&self) -> String {
        format!("{}-checkout", self.name)
    }

    /// Changes the state of the alarm.
    pub(crate) async fn turn(&self, state: StateValue) {
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        let set = client.set_alarm_state().alarm_name(self.alarm()).state_value(state);
        set.state_reason("set by a test").send().await.unwrap();
    }

    pub(crate) fn build(&self) -> Build {
        Build::new("traffic-shift", env!("CARGO_BIN_EXE_traffic-shift"))
            .calls(&self.way)
            .with("MESHWARDEN_POLICY", self.policy.to_string_lossy())
            .with("MESHWARDEN_TABLE", &self.name)
            .with("MESHWARDEN_TOPIC", &self.topic)
            .with("MESHWARDEN_BUS", "default")
    }

    pub(crate) fn table(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Publishes requests and failed requests in each of the last whole minutes, newest first, as one caller measures them.
    pub(crate) async fn publish(&self, target: &str, minutes: usize, [requests, errors]: [f64; 2], latency: f64) {
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        let now = jiff::Timestamp::now().as_second();
        let minute = now - now.rem_euclid(60);
        for number in 1..=i64::try_from(minutes).unwrap() {
            let at = aws_sdk_cloudwatch::primitives::DateTime::from_secs(minute - 60 * number + 5);
            let data = [
                ("envoy_cluster_upstream_rq_completed", requests),
                ("envoy_cluster_upstream_rq_5xx", errors),
                ("envoy_cluster_upstream_rq_time", latency),
            ];
            let datum = |(metric, value): (&str, f64)| {
                let dimensions = [
                    ("Mesh", "shop"),
                    ("VirtualNode", "web"),
                    ("TargetVirtualService", "recs.shop.local"),
                    ("TargetVirtualNode", target),
                ];
                let datum = MetricDatum::builder().metric_name(metric).value(value).timestamp(at);
                datum.set_dimensions(Some(dimensions.map(|(key, value)| dimension(key, value)).into())).build()
            };
            let data: Vec<MetricDatum> = data.into_iter().map(datum).collect();
            // Every test has its own namespace, because all share one stack.
            let put = client.put_metric_data().namespace(&self.name).set_metric_data(Some(data));
            put.send().await.unwrap();
        }
    }

    /// One invocation of another process.
    pub(crate) async fn run(&self, event: &Value) -> Value {
        self.build().start().await.answer(event).await.unwrap()
    }

    /// The document of the rollout after a scheduled run.
    pub(crate) async fn tick(&self) -> Value {
        self.run(&sample("traffic-shift", "tick-rule")).await;
        self.rollout().await
    }

    /// The document of the rollout.
    pub(crate) async fn rollout(&self) -> Value {
        let documents = meshwarden_tests::shop_scene::documents(items(&self.table(), &self.name).await);
        documents.into_iter().find(|(key, _)| key.contains("rollout/shop/r1")).map(|(_, document)| document).unwrap()
    }

    /// Lets this time pass for every record.
    pub(crate) async fn pass(&self, minutes: i64) {
        let time = jiff::SignedDuration::from_mins(minutes);
        meshwarden_tests::stack::let_time_pass(&self.table(), &self.name, time).await;
    }

    /// Creates or replaces a resource, by its path below the mesh.
    pub(crate) async fn put(&self, below: &str, body: &Value) {
        self.plane.put(&format!("{MESH}/{below}"), body).await;
    }

    /// An operator sets the weights of the route by hand.
    pub(crate) async fn edit(&self, weights: [u8; 2]) {
        self.put("virtualRouter/recs/routes/all", &json!({ "spec": route_spec(weights) })).await;
    }

    pub(crate) async fn route(&self) -> Value {
        self.plane.get(ROUTE).await
    }

    pub(crate) async fn weights(&self) -> Vec<u64> {
        let route = self.route().await;
        let targets = route["spec"]["httpRoute"]["action"]["weightedTargets"].as_array().unwrap().clone();
        targets.iter().map(|target| target["weight"].as_u64().unwrap()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.front.abort();
        drop(std::fs::remove_file(&self.policy));
    }
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

/// The route, with members that a write could lose.
pub(crate) fn route_spec(weights: [u8; 2]) -> Value {
    let [old, new] = weights;
    json!({ "priority": 7, "httpRoute": {
        "action": { "weightedTargets": [
            { "virtualNode": "recs-v1", "weight": old, "port": 8080 },
            { "virtualNode": "recs-v2", "weight": new, "port": 8080 },
        ] },
        "match": { "prefix": "/", "headers": [{ "name": "x-tenant", "match": { "exact": "gold" } }] },
        "timeout": { "idle": { "unit": "ms", "value": 30_000 } },
    } })
}

/// A front of the control plane that reports connected proxies and forwards every other request.
async fn front(endpoint: &str) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let endpoint = endpoint.to_owned();
    let serving = tokio::spawn(async move {
        let app = Router::new().route("/proxies", get(proxies)).fallback(forward).with_state(endpoint);
        axum::serve(listener, app).await.unwrap();
    });
    (address, serving)
}

async fn proxies() -> String {
    let proxy = |node: &str| {
        json!({ "resource": format!("mesh/shop/virtualNode/{node}"), "peer": "127.0.0.1:1", "since": "2026-11-20T10:00:00Z",
            "upToDate": true, "types": {}, "certificates": {} })
    };
    let proxies = ["web", "recs-v1", "recs-v2"].map(proxy);
    json!({ "proxies": proxies }).to_string()
}

async fn forward(
    State(endpoint): State<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = client.request(method, format!("{endpoint}{path}")).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
        request = request.header(name, value);
    }
    let Ok(answer) = request.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.unwrap_or_default();
    let mut response = (status, body).into_response();
    for (name, value) in &headers {
        if name != "content-length" && name != "transfer-encoding" {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
