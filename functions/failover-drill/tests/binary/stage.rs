//! A mesh with one route, the alarms of a drill, its table and its topic.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, StateValue, Statistic};
use jiff::SignedDuration;
use meshwarden_tests::disturbed::Scene;
use meshwarden_tests::function::{Build, sample};
use meshwarden_tests::shop_scene::documents;
use meshwarden_tests::stack::{
    ControlPlane, MiniStack, create_state_table, items, let_leases_run_out, let_time_pass, sdk_config,
};
use meshwarden_tests::way::Way;
use serde_json::{Value, json};

/// They do not sum to 100, so that a restore that writes percentages shows.
pub(crate) const BEFORE: [u8; 2] = [8, 2];

const MESH: &str = "/v20190125/meshes/shop";
const ROUTE: &str = "/v20190125/meshes/shop/virtualRouter/recs/routes/all";

pub(crate) const POLICY: &str = "version: 1
modes: { default: enforce }
failover:
  targets:
    - { mesh: shop, virtualNode: recs-v2, assumeReady: true, capacityShare: 100 }
drills:
  plans:
    - { name: recs-v1, mesh: shop, virtualNode: recs-v1, outcomeAlarms: [checkout], blockingAlarms: [deploys] }
";

/// Everything around the function.
pub(crate) struct Stage {
    plane: ControlPlane,
    pub(crate) way: Way,
    config: SdkConfig,
    pub(crate) name: String,
    topic: String,
    policy: PathBuf,
}

impl Stage {
    /// A stage with the alarms of the drill in the stack.
    pub(crate) async fn set(stack: &MiniStack, name: &str) -> Self {
        let stage = Self::without_alarms(stack, name, &[]).await;
        stage.build_alarms().await;
        stage
    }

    /// A stage with these endpoints in place of those of the stack, and without alarms.
    pub(crate) async fn without_alarms(stack: &MiniStack, name: &str, replaced: &[(&'static str, &str)]) -> Self {
        let plane = ControlPlane::start().await;
        let mut services = stack.variables().to_vec();
        services.retain(|(variable, _)| !replaced.iter().any(|(other, _)| other == variable));
        services.push(("AWS_ENDPOINT_URL_APP_MESH", &plane.endpoint));
        services.extend_from_slice(replaced);
        let way = Way::to(&services).await;
        let policy = std::env::temp_dir().join(format!("meshwarden-drill-{}-{name}.yaml", std::process::id()));
        std::fs::write(&policy, POLICY).unwrap();
        let config = sdk_config(&stack.endpoint).await;
        let topic = aws_sdk_sns::Client::new(&config).create_topic().name("notices").send().await.unwrap();
        let topic = topic.topic_arn.unwrap();
        let stage = Self { plane, way, config, name: name.to_owned(), topic, policy };
        create_state_table(&stage.table(), name).await;
        stage.build_mesh().await;
        stage
    }

    async fn build_alarms(&self) {
        let alarms = aws_sdk_cloudwatch::Client::new(&self.config);
        for name in ["checkout", "deploys"] {
            let dimension = Dimension::builder().name("Service").value(name).build();
            let alarm = alarms.put_metric_alarm().alarm_name(name).namespace("Shop").metric_name("Orders");
            let alarm = alarm.dimensions(dimension).period(60).statistic(Statistic::Sum).evaluation_periods(1);
            let above = ComparisonOperator::GreaterThanThreshold;
            alarm.threshold(5.0).comparison_operator(above).send().await.unwrap();
            self.turn(name, StateValue::Ok).await;
        }
    }

    /// Changes the state of an alarm.
    pub(crate) async fn turn(&self, alarm: &str, state: StateValue) {
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        let set = client.set_alarm_state().alarm_name(alarm).state_value(state);
        set.state_reason("set by a test").send().await.unwrap();
    }

    async fn build_mesh(&self) {
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        self.plane.put("/v20190125/meshes", &json!({ "meshName": "shop" })).await;
        for node in ["recs-v1", "recs-v2"] {
            let discovery = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
            let spec = json!({ "listeners": [listener], "serviceDiscovery": discovery });
            self.put("virtualNodes", &json!({ "virtualNodeName": node, "spec": spec })).await;
        }
        let router = json!({ "virtualRouterName": "recs", "spec": { "listeners": [listener] } });
        self.put("virtualRouters", &router).await;
        let target =
            |(index, weight): (usize, &u8)| json!({ "virtualNode": format!("recs-v{}", index + 1), "weight": weight });
        let targets: Vec<Value> = BEFORE.iter().enumerate().map(target).collect();
        let spec = json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } });
        self.put("virtualRouter/recs/routes", &json!({ "routeName": "all", "spec": spec })).await;
    }

    /// Creates or replaces a resource, by its path below the mesh.
    pub(crate) async fn put(&self, below: &str, body: &Value) {
        self.plane.put(&format!("{MESH}/{below}"), body).await;
    }

    pub(crate) fn build(&self) -> Build {
        Build::new("failover-drill", env!("CARGO_BIN_EXE_failover-drill"))
            .calls(&self.way)
            .with("MESHWARDEN_POLICY", self.policy.to_string_lossy())
            .with("MESHWARDEN_TABLE", &self.name)
            .with("MESHWARDEN_TOPIC", &self.topic)
            .with("MESHWARDEN_BUS", "default")
    }

    pub(crate) fn table(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// The document of the mesh's drills.
    pub(crate) async fn drills(&self) -> Value {
        let documents = documents(items(&self.table(), &self.name).await);
        documents
            .into_iter()
            .find(|(key, _)| key.starts_with("failover-drill/"))
            .map(|(_, found)| found)
            .unwrap_or_default()
    }

    pub(crate) async fn weights(&self) -> Vec<u64> {
        let route = self.plane.get(ROUTE).await;
        let targets = route["spec"]["httpRoute"]["action"]["weightedTargets"].as_array().unwrap();
        targets.iter().map(|target| target["weight"].as_u64().unwrap()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.policy));
    }
}

/// A sample event of the repository.
pub(crate) fn event(name: &str) -> Value {
    sample("failover-drill", name)
}

/// A shop in which a drill is requested.
impl Scene for Stage {
    fn way(&self) -> &Way {
        &self.way
    }

    fn build(&self) -> Build {
        self.build()
    }

    fn event(&self) -> Value {
        event("direct-start")
    }

    async fn settle(&self) {
        let_leases_run_out(&self.table(), &self.name).await;
    }

    async fn pass(&self, time: SignedDuration) {
        let_time_pass(&self.table(), &self.name, time).await;
    }

    async fn end(&self) -> BTreeMap<String, Value> {
        let mut end = documents(items(&self.table(), &self.name).await);
        let route = self.plane.get(ROUTE).await;
        end.insert("spec".to_owned(), route["spec"].clone());
        end.insert("version".to_owned(), route["metadata"]["version"].clone());
        end
    }
}
