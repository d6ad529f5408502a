//! A mesh with one route in a separate control plane; its alarms, table and topic in a MiniStack that all cases share.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, StateValue, Statistic};
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::SignedDuration;
use meshwarden_tests::function::Build;
use meshwarden_tests::stack::{
    ControlPlane, MiniStack, create_state_table, items, let_leases_run_out, let_time_pass, sdk_config,
};
use meshwarden_tests::way::Way;
use serde_json::{Value, json};

/// The weights at the beginning: their sum is not 100, so that a restore of percentages is detected.
pub(crate) const BEFORE: [u8; 2] = [8, 2];

const MESH: &str = "/v20190125/meshes/shop";
const ROUTE: &str = "/v20190125/meshes/shop/virtualRouter/cart/routes/all";

/// The services that all cases share.
pub(crate) struct Theatre {
    stack: MiniStack,
    config: SdkConfig,
    topic: String,
}

impl Theatre {
    /// `None`, with the reason printed, if MiniStack is not installed.
    pub(crate) async fn open() -> Option<Self> {
        let stack = MiniStack::start().await?;
        let config = sdk_config(&stack.endpoint).await;
        let topic = aws_sdk_sns::Client::new(&config).create_topic().name("notices").send().await.unwrap();
        Some(Self { stack, config, topic: topic.topic_arn.unwrap() })
    }

    /// The endpoint of the local AWS services.
    pub(crate) fn endpoint(&self) -> &str {
        &self.stack.endpoint
    }

    /// The local AWS services.
    pub(crate) fn stack(&self) -> &MiniStack {
        &self.stack
    }

    /// The topic for notices.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn table(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }
}

/// The fixture of one case. It shares nothing that a run can change.
pub(crate) struct Stage<'a> {
    theatre: &'a Theatre,
    plane: ControlPlane,
    pub(crate) way: Way,
    name: String,
    policy: PathBuf,
}

impl<'a> Stage<'a> {
    /// A shop without failures. `name` makes its table and alarms unique.
    pub(crate) async fn set(theatre: &'a Theatre, name: &str) -> Self {
        Self::with_plane(theatre, name, ControlPlane::start().await, "").await
    }

    /// A shop in this control plane, with these lines in the policy.
    pub(crate) async fn with_plane(theatre: &'a Theatre, name: &str, plane: ControlPlane, policy_lines: &str) -> Self {
        let mut services = theatre.stack.variables().to_vec();
        services.push(("AWS_ENDPOINT_URL_APP_MESH", &plane.endpoint));
        let way = Way::to(&services).await;
        let policy = std::env::temp_dir().join(format!("meshwarden-{}-{name}.yaml", std::process::id()));
        let discovery = format!("discovery: {{prefix: {name}-}}");
        std::fs::write(
            &policy,
            format!("version: 1\nmodes: {{default: enforce}}\nfailover: {{{discovery}}}\n{policy_lines}"),
        )
        .unwrap();
        let stage = Self { theatre, plane, way, name: name.to_owned(), policy };
        stage.build_mesh().await;
        create_state_table(&stage.table(), name).await;
        for node in ["cart-v1", "cart-v2"] {
            stage.build_alarm(node).await;
        }
        stage
    }

    async fn build_mesh(&self) {
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http2" } });
        self.plane.put("/v20190125/meshes", &json!({ "meshName": "shop" })).await;
        for node in ["cart-v1", "cart-v2"] {
            let discovery = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
            let spec = json!({ "listeners": [listener], "serviceDiscovery": discovery });
            self.plane.put(&format!("{MESH}/virtualNodes"), &json!({ "virtualNodeName": node, "spec": spec })).await;
        }
        let router = json!({ "virtualRouterName": "cart", "spec": { "listeners": [listener] } });
        self.plane.put(&format!("{MESH}/virtualRouters"), &router).await;
        let route = json!({ "routeName": "all", "spec": spec(BEFORE) });
        self.plane.put(&format!("{MESH}/virtualRouter/cart/routes"), &route).await;
    }

    async fn build_alarm(&self, node: &str) {
        let client = aws_sdk_cloudwatch::Client::new(&self.theatre.config);
        let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        client
            .put_metric_alarm()
            .alarm_name(self.alarm_of(node))
            .namespace("AppMesh")
            .metric_name(self.alarm_of(node))
            .set_dimensions(Some(vec![dimension("Mesh", "shop"), dimension("VirtualNode", node)]))
            .period(60)
            .statistic(Statistic::Sum)
            .evaluation_periods(1)
            .threshold(5.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .send()
            .await
            .unwrap();
        self.turn(node, StateValue::Ok).await;
    }

    /// The alarm on the node's errors changes its state.
    pub(crate) async fn turn(&self, node: &str, state: StateValue) {
        let client = aws_sdk_cloudwatch::Client::new(&self.theatre.config);
        let set = client.set_alarm_state().alarm_name(self.alarm_of(node)).state_value(state);
        set.state_reason("set by a test").send().await.unwrap();
    }

    /// The owner of a key declares the weights of the route.
    pub(crate) async fn declare(&self, key: &str, weights: [u8; 2]) {
        self.plane.put_as(key, ROUTE, &json!({ "spec": spec(weights) })).await;
    }

    pub(crate) async fn weights(&self) -> Vec<u64> {
        let route = self.plane.get(ROUTE).await;
        let targets = route["spec"]["http2Route"]["action"]["weightedTargets"].as_array().unwrap().clone();
        targets.iter().map(|target| target["weight"].as_u64().unwrap()).collect()
    }

    /// The function without the relay before its control plane, since the relay would break the signatures.
    pub(crate) fn build_with_direct_plane(&self) -> Build {
        self.build().with("AWS_ENDPOINT_URL_APP_MESH", &self.plane.endpoint)
    }

    /// Changes the stored record of the route.
    pub(crate) async fn change_record(&self, change: impl FnOnce(&mut Value)) {
        let items = items(&self.table(), &self.name).await;
        let is_record = |item: &&HashMap<String, AttributeValue>| {
            item["sk"].as_s().is_ok_and(|sk| sk == "document")
                && item["pk"].as_s().is_ok_and(|pk| pk.starts_with("route"))
        };
        let item = items.iter().find(is_record).unwrap();
        let mut record: Value = serde_json::from_str(item["document"].as_s().unwrap()).unwrap();
        change(&mut record);
        let update = self.table().update_item().table_name(&self.name);
        let update = update.key("pk", item["pk"].clone()).key("sk", item["sk"].clone());
        let update = update.update_expression("SET document = :record");
        update.expression_attribute_values(":record", AttributeValue::S(record.to_string())).send().await.unwrap();
    }

    /// The event of the alarm on the node's errors.
    pub(crate) fn event_of(&self, node: &str) -> Value {
        let event = sample("alarm-metric").to_string();
        serde_json::from_str(&event.replace("shop-recommendations-v2-5xx", &self.alarm_of(node))).unwrap()
    }

    fn alarm_of(&self, node: &str) -> String {
        format!("{}-{node}-5xx", self.name)
    }

    pub(crate) fn build(&self) -> Build {
        Build::new("route-failover", env!("CARGO_BIN_EXE_route-failover"))
            .calls(&self.way)
            .with("MESHWARDEN_POLICY", self.policy.to_string_lossy())
            .with("MESHWARDEN_TABLE", &self.name)
            .with("MESHWARDEN_TOPIC", &self.theatre.topic)
            .with("MESHWARDEN_BUS", "default")
    }

    pub(crate) async fn let_leases_run_out(&self) {
        let_leases_run_out(&self.table(), &self.name).await;
    }

    pub(crate) async fn let_time_pass(&self, time: SignedDuration) {
        let_time_pass(&self.table(), &self.name, time).await;
    }

    /// The end state of a run, without times.
    pub(crate) async fn world(&self) -> BTreeMap<String, Value> {
        let route = self.plane.get(ROUTE).await;
        let arn = route["metadata"]["arn"].as_str().unwrap();
        let tags = self.plane.get(&format!("/v20190125/tags?resourceArn={arn}")).await;
        let mut world = BTreeMap::from([
            ("spec".to_owned(), route["spec"].clone()),
            ("version".to_owned(), route["metadata"]["version"].clone()),
            ("tags".to_owned(), tags["tags"].clone()),
        ]);
        let mut begun = BTreeMap::new();
        for item in items(&self.table(), &self.name).await {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
            let (pk, sk) = (text("pk"), text("sk"));
            if let Some(used) = item.get("used") {
                world.insert("budget".to_owned(), json!(used.as_n().unwrap()));
            } else if let Some(id) = sk.strip_prefix("journal#").and(text("id").strip_suffix("-begun")) {
                let body: Value = serde_json::from_str(&text("body")).unwrap();
                begun.insert(id.to_owned(), json!([body["reason"], body["plan"]["to"]]));
            } else if sk == "document" {
                let document = serde_json::from_str(&text("document")).unwrap();
                world.insert(format!("{pk} document"), timeless(document));
                world.insert(format!("{pk} leased"), json!(item.contains_key("holder")));
            }
        }
        world.insert("begun".to_owned(), json!(begun));
        world
    }

    fn table(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.theatre.config)
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.policy));
    }
}

/// A sample event of the repository.
pub(crate) fn sample(name: &str) -> Value {
    meshwarden_tests::function::sample("route-failover", name)
}

/// The route, with optional members that a write could lose.
pub(crate) fn spec(weights: [u8; 2]) -> Value {
    let target = |node: &str, weight: u8| json!({ "virtualNode": node, "weight": weight, "port": 8080 });
    json!({ "priority": 7, "http2Route": {
        "action": { "weightedTargets": [target("cart-v1", weights[0]), target("cart-v2", weights[1])] },
        "match": { "prefix": "/", "method": "POST", "headers": [{ "name": "x-tenant", "match": { "exact": "gold" } }] },
        "retryPolicy": { "maxRetries": 1, "perRetryTimeout": { "unit": "ms", "value": 250 },
            "tcpRetryEvents": ["connection-error"] },
        "timeout": { "idle": { "unit": "ms", "value": 30_000 } },
    } })
}

/// A record without times, notifications and the uid, which differs for each mesh.
fn timeless(mut record: Value) -> Value {
    strip(&mut record);
    if let Some(drains) = record.get_mut("drains").and_then(Value::as_object_mut) {
        for times in drains.values_mut() {
            *times = json!(times.as_array().map_or(0, Vec::len));
        }
    }
    record
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for member in ["uid", "told", "since", "taken", "quiet", "watch", "paged"] {
                members.remove(member);
            }
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
