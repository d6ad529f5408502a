//! A small shop in a separate control plane, for functions that read a mesh and store their observations.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::disturbed::Scene;
use crate::function::{Build, sample};
use crate::stack::{ControlPlane, MiniStack, create_state_table, items, let_leases_run_out, let_time_pass, sdk_config};
use crate::way::Way;

/// The policy file, with every rule, so that this small shop has findings.
const POLICY: &str = "policy.yaml";

const MESH: &str = "/v20190125/meshes/shop";

/// The services that the cases of one function share.
#[derive(Clone, Debug)]
pub struct Shops {
    function: &'static str,
    binary: &'static str,
    event: &'static str,
    stack: Arc<MiniStack>,
    /// Further services, by the variables of their endpoints.
    more: Vec<(&'static str, String)>,
    config: SdkConfig,
    topic: String,
}

impl Shops {
    /// Creates fixtures for the function with this name, `env!("CARGO_BIN_EXE_<name>")`, which is invoked with this
    /// sample event. `None`, with the reason printed, if `MiniStack` is not installed.
    pub async fn open(function: &'static str, binary: &'static str, event: &'static str) -> Option<Self> {
        let stack = Arc::new(MiniStack::start().await?);
        let config = sdk_config(&stack.endpoint).await;
        let topic = aws_sdk_sns::Client::new(&config).create_topic().name("notices").send().await.unwrap();
        let topic = topic.topic_arn.unwrap();
        Some(Self { function, binary, event, stack, more: Vec::new(), config, topic })
    }

    /// Adds further services, by the variables of their endpoints.
    #[must_use]
    pub fn with(mut self, services: &[(&'static str, &str)]) -> Self {
        self.more = services.iter().map(|(variable, endpoint)| (*variable, (*endpoint).to_owned())).collect();
        self
    }

    /// Stores a policy in S3 and in Systems Manager.
    pub async fn store_policy(&self, policy: &str) {
        self.stack.store_policy(policy).await;
    }

    /// The fixture of one case. `name` makes the name of its table unique.
    pub async fn set(&self, name: &str) -> ShopScene {
        let plane = ControlPlane::start().await;
        let mut services = self.stack.variables().to_vec();
        services.push(("AWS_ENDPOINT_URL_APP_MESH", plane.endpoint.as_str()));
        services.extend(self.more.iter().map(|(variable, endpoint)| (*variable, endpoint.as_str())));
        let way = Way::to(&services).await;
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        plane.put("/v20190125/meshes", &json!({ "meshName": "shop" })).await;
        for node in ["cart-v1", "cart-v2"] {
            let discovery = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
            let spec = json!({ "listeners": [listener], "serviceDiscovery": discovery });
            plane.put(&format!("{MESH}/virtualNodes"), &json!({ "virtualNodeName": node, "spec": spec })).await;
        }
        let router = json!({ "virtualRouterName": "cart", "spec": { "listeners": [listener] } });
        plane.put(&format!("{MESH}/virtualRouters"), &router).await;
        create_state_table(&aws_sdk_dynamodb::Client::new(&self.config), name).await;
        let folder = std::env::temp_dir().join(format!("meshwarden-{}-{}-{name}", self.function, std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(POLICY), "version: 1\nprofile: strict\n").unwrap();
        ShopScene { shops: self.clone(), plane, way, table: name.to_owned(), folder, runs: AtomicI64::new(0) }
    }
}

/// The fixture of one case.
#[derive(Debug)]
pub struct ShopScene {
    shops: Shops,
    plane: ControlPlane,
    way: Way,
    table: String,
    folder: PathBuf,
    /// The number of events of later runs so far.
    runs: AtomicI64,
}

impl ShopScene {
    /// Creates or replaces a resource in the mesh `shop`, by its path below the mesh.
    pub async fn put(&self, below: &str, body: &Value) {
        self.plane.put(&format!("{MESH}/{below}"), body).await;
    }
}

impl ShopScene {
    /// Adds one resource of every kind, and so many backends that the mesh takes some hundred kilobytes.
    pub async fn fill(&self) {
        let backend = |number: usize| {
            let name = format!("{}-{number}.backends.of.a.large.mesh.shop.local", "service".repeat(12));
            json!({ "virtualService": { "virtualServiceName": name } })
        };
        let backends: Vec<Value> = (0..50).map(backend).collect();
        for number in 0..30 {
            let node = json!({ "virtualNodeName": format!("large-{number}"), "spec": { "backends": backends } });
            self.put("virtualNodes", &node).await;
        }
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        let targets = json!([{ "virtualNode": "cart-v1", "weight": 1 }]);
        let route = json!({ "httpRoute": { "action": { "weightedTargets": targets }, "match": { "prefix": "/" } } });
        self.put("virtualRouter/cart/routes", &json!({ "routeName": "all", "spec": route })).await;
        let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "cart" } } });
        let service = json!({ "virtualServiceName": "cart.shop.local", "spec": provider });
        self.put("virtualServices", &service).await;
        let gateway = json!({ "virtualGatewayName": "edge", "spec": { "listeners": [listener] } });
        self.put("virtualGateways", &gateway).await;
        let target = json!({ "virtualService": { "virtualServiceName": "cart.shop.local" } });
        let route = json!({ "httpRoute": { "action": { "target": target }, "match": { "prefix": "/" } } });
        let route = json!({ "gatewayRouteName": "all", "spec": route });
        self.put("virtualGateway/edge/gatewayRoutes", &route).await;
    }
}

impl Scene for ShopScene {
    fn way(&self) -> &Way {
        &self.way
    }

    fn build(&self) -> Build {
        Build::new(self.shops.function, self.shops.binary)
            .calls(&self.way)
            .with("MESHWARDEN_TABLE", &self.table)
            .with("MESHWARDEN_TOPIC", &self.shops.topic)
            .with("MESHWARDEN_BUS", "default")
            .with("MESHWARDEN_POLICY", self.folder.join(POLICY).to_string_lossy())
            .with("MESHWARDEN_REPORTS", self.folder.to_string_lossy())
    }

    fn event(&self) -> Value {
        sample(self.shops.function, self.shops.event)
    }

    /// Scheduled runs differ by their time.
    fn next_event(&self) -> Value {
        let mut event = self.event();
        let runs = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        let time: Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        event["time"] = json!(time + SignedDuration::from_hours(runs));
        event
    }

    async fn settle(&self) {
        let_leases_run_out(&aws_sdk_dynamodb::Client::new(&self.shops.config), &self.table).await;
    }

    async fn pass(&self, time: SignedDuration) {
        let_time_pass(&aws_sdk_dynamodb::Client::new(&self.shops.config), &self.table, time).await;
    }

    async fn end(&self) -> BTreeMap<String, Value> {
        let client = aws_sdk_dynamodb::Client::new(&self.shops.config);
        documents(items(&client, &self.table).await)
    }
}

impl Drop for ShopScene {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The documents of a state table, without times and without the members that differ for every run or mesh.
#[must_use]
pub fn documents<S: std::hash::BuildHasher>(
    items: Vec<std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue, S>>,
) -> BTreeMap<String, Value> {
    let mut documents = BTreeMap::new();
    for item in items {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        if text("sk") == "document" {
            let mut document = serde_json::from_str(&text("document")).unwrap_or_default();
            strip(&mut document);
            documents.insert(text("pk"), document);
        }
    }
    documents
}

/// The members that differ from run to run, or that count notices.
const STRIPPED: [&str; 9] =
    ["uid", "wakes", "told", "since", "taken", "sha256", "createdAt", "lastUpdatedAt", "targets"];

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| !STRIPPED.contains(&name.as_str()) && !is_instant(value));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => {
            items.retain(|value| !is_instant(value));
            items.iter_mut().for_each(strip);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_instant(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
}
