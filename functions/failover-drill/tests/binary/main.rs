//! The built function against a control plane and a MiniStack: a drill over the real adapters, from its request to the
//! restored weights.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, StateValue, Statistic};
use meshwarden_tests::function::{Build, sample};
use meshwarden_tests::stack::{ControlPlane, MiniStack, create_state_table, sdk_config};
use meshwarden_tests::start_up::Case;
use meshwarden_tests::way::Way;
use serde_json::{Value, json};

/// They do not sum to 100, so that a restore that writes percentages shows.
const BEFORE: [u8; 2] = [8, 2];

/// The most calls that a restore may wait for, one after the other: the meshes and documents, the mesh, the
/// routes' records and the proxies; then the verdict with its event, and the begin of the change.
const MOST_BEFORE_RESTORE: usize = 11;

/// The beginning of the operation that writes a route.
const WRITE: &str = "PUT /v20190125/meshes/shop/virtualRouter/";

const MESH: &str = "/v20190125/meshes/shop";
const TABLE: &str = "failover-drill";

const POLICY: &str = "version: 1
modes: { default: enforce }
failover:
  targets:
    - { mesh: shop, virtualNode: recs-v2, assumeReady: true, capacityShare: 100 }
drills:
  plans:
    - { name: recs-v1, mesh: shop, virtualNode: recs-v1, outcomeAlarms: [checkout], blockingAlarms: [deploys] }
";

/// Everything around the function.
struct Stage {
    plane: ControlPlane,
    way: Way,
    config: SdkConfig,
    policy: PathBuf,
}

impl Stage {
    async fn set(stack: &MiniStack) -> Self {
        let plane = ControlPlane::start().await;
        let mut services = stack.variables().to_vec();
        services.push(("AWS_ENDPOINT_URL_APP_MESH", &plane.endpoint));
        let way = Way::to(&services).await;
        let policy = std::env::temp_dir().join(format!("meshwarden-drill-{}.yaml", std::process::id()));
        std::fs::write(&policy, POLICY).unwrap();
        let config = sdk_config(&stack.endpoint).await;
        create_state_table(&aws_sdk_dynamodb::Client::new(&config), TABLE).await;
        let alarms = aws_sdk_cloudwatch::Client::new(&config);
        for name in ["checkout", "deploys"] {
            let dimension = Dimension::builder().name("Service").value(name).build();
            let alarm = alarms.put_metric_alarm().alarm_name(name).namespace("Shop").metric_name("Orders");
            let alarm = alarm.dimensions(dimension).period(60).statistic(Statistic::Sum).evaluation_periods(1);
            let above = ComparisonOperator::GreaterThanThreshold;
            alarm.threshold(5.0).comparison_operator(above).send().await.unwrap();
        }
        let stage = Self { plane, way, config, policy };
        for name in ["checkout", "deploys"] {
            stage.turn(name, StateValue::Ok).await;
        }
        stage.build_mesh().await;
        stage
    }

    /// Changes the state of an alarm.
    async fn turn(&self, alarm: &str, state: StateValue) {
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
            self.plane.put(&format!("{MESH}/virtualNodes"), &json!({ "virtualNodeName": node, "spec": spec })).await;
        }
        let router = json!({ "virtualRouterName": "recs", "spec": { "listeners": [listener] } });
        self.plane.put(&format!("{MESH}/virtualRouters"), &router).await;
        let target =
            |(index, weight): (usize, &u8)| json!({ "virtualNode": format!("recs-v{}", index + 1), "weight": weight });
        let targets: Vec<Value> = BEFORE.iter().enumerate().map(target).collect();
        let spec = json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } });
        self.plane
            .put(&format!("{MESH}/virtualRouter/recs/routes"), &json!({ "routeName": "all", "spec": spec }))
            .await;
    }

    fn build(&self) -> Build {
        Build::new("failover-drill", env!("CARGO_BIN_EXE_failover-drill"))
            .calls(&self.way)
            .with("MESHWARDEN_POLICY", self.policy.to_string_lossy())
            .with("MESHWARDEN_TABLE", TABLE)
            .with("MESHWARDEN_BUS", "default")
    }

    async fn weights(&self) -> Vec<u64> {
        let route = self.plane.get(&format!("{MESH}/virtualRouter/recs/routes/all")).await;
        let targets = route["spec"]["httpRoute"]["action"]["weightedTargets"].as_array().unwrap();
        targets.iter().map(|target| target["weight"].as_u64().unwrap()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.policy));
    }
}

fn event(name: &str) -> Value {
    sample("failover-drill", name)
}

#[tokio::test]
async fn drill_drains_and_restores_over_the_real_adapters() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::set(&stack).await;
    let mut function = stage.build().start().await;
    let answer = function.answer(&event("direct-start")).await.unwrap();
    assert_eq!((&answer["state"], &answer["result"]), (&json!("confirming"), &json!("PENDING")), "{answer:#}");
    assert_eq!(stage.weights().await, [0, 100]);
    // Another process resumes from the state table.
    let mut next = stage.build().start().await;
    let error = next.answer(&event("direct-result")).await.unwrap_err();
    assert!(error.to_string().contains("in progress"), "{error:#}");
    next.answer(&event("stop")).await.unwrap();
    assert_eq!(stage.weights().await, BEFORE.map(u64::from), "the exact integers return");
    let error = next.answer(&event("direct-result")).await.unwrap_err();
    assert!(error.to_string().contains("INTERRUPTED") && error.to_string().contains("ada"), "{error:#}");
    let report = next.answer(&event("tick-rule")).await.unwrap();
    assert_eq!(report["decisions"], json!([]), "{report:#}");
}

/// The calls of the restore of a drill that an alarm ends, by the built function.
#[tokio::test]
async fn restore_of_the_built_function_waits_for_few_calls() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::set(&stack).await;
    let mut function = stage.build().start().await;
    function.answer(&event("direct-start")).await.unwrap();
    assert_eq!(stage.weights().await, [0, 100]);
    stage.turn("checkout", StateValue::Alarm).await;
    stage.way.set_latency(Duration::from_millis(400), WRITE);
    let skipped = stage.way.passed().len();
    function.answer(&event("alarm-metric")).await.unwrap();
    assert_eq!(stage.weights().await, BEFORE.map(u64::from));
    let sequence = stage.way.sequence_before(skipped, WRITE).unwrap();
    assert!(sequence.len() <= MOST_BEFORE_RESTORE, "a restore waits for {sequence:#?}");
}

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    let cases = [Case::variable("MESHWARDEN_ACTION", "recs-v1", "expected `drill:NAME`")];
    meshwarden_tests::start_up::check("failover-drill", env!("CARGO_BIN_EXE_failover-drill"), &cases).await;
}
