//! The role of the function against the calls that it makes, and each of its permissions denied in turn.

use std::time::Duration;

use meshwarden_tests::cloudwatch::{CloudWatch, World};
use meshwarden_tests::function::{Build, sample};
use meshwarden_tests::permissions::{Player, Scenario, check};
use meshwarden_tests::stack::{ControlPlane, create_state_table};
use meshwarden_tests::way::Way;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::stage::Theatre;

const MESH: &str = "/v20190125/meshes/shop";
const ROUTE: &str = "/v20190125/meshes/shop/virtualRouter/recs/routes/all";

/// The time limit of a failback that takes a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A policy with steps of a second. It makes the observation too large for the journal, since the observation contains it.
fn policy() -> String {
    let waiver = |number: usize| {
        let reason = "r".repeat(900);
        format!(
            "  - {{ rule: listener-tls-permissive, resource: mesh/shop/virtualNode/n{number}, owner: payments, \
             reason: {reason}, until: 2099-06-01T00:00:00Z }}\n"
        )
    };
    let waivers: String = (0..150).map(waiver).collect();
    format!(
        "version: 1\nmodes: {{ meshes: {{ shop: {{ default: enforce }} }} }}\nfailover:\n  dwell: 1s\n  \
         failback: {{ probeShare: 5, steps: [], stepEvery: 1s, minDataPoints: 1 }}\n  \
         commonCause: {{ targets: 2, window: 1s }}\n  flaps: {{ limit: 10, window: 10m }}\nwaivers:\n{waivers}"
    )
}

struct Failover {
    scenario: &'static str,
    plane: ControlPlane,
    cloudwatch: CloudWatch,
    way: Way,
}

fn alarm(name: &str, source: &Value) -> Value {
    let mut alarm = json!({
        "AlarmName": name, "AlarmArn": format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}"),
        "ActionsEnabled": true, "AlarmActions": [], "StateValue": "OK", "StateReason": "stub",
        "StateUpdatedTimestamp": 1_795_997_946.5, "StateTransitionedTimestamp": 1_795_997_946.5,
        "EvaluationPeriods": 1, "Threshold": 1.5, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    });
    alarm.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    alarm
}

fn metric(dimensions: &[(&str, &str)]) -> Value {
    let dimensions: Vec<Value> =
        dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    json!({ "MetricName": "HTTPCode_5XX_Count", "Namespace": "AppMesh", "Statistic": "Sum", "Period": 60,
        "Dimensions": dimensions })
}

fn world() -> World {
    let grouped = "SELECT SUM(HTTPCode_5XX_Count) FROM SCHEMA(AppMesh, Mesh, VirtualNode) \
                   GROUP BY Mesh, VirtualNode ORDER BY SUM() DESC";
    let of_node = [("Mesh", "shop"), ("VirtualNode", "recs-v1")];
    let attributes = json!({ "Mesh": "shop", "VirtualNode": "recs-v1" });
    World {
        alarms: vec![
            alarm("recs-v1-5xx", &metric(&of_node)),
            // Only its tags could contain a target.
            alarm("recs-5xx", &metric(&[("Mesh", "shop")])),
            alarm(
                "recs-fleet",
                &json!({ "Metrics": [{ "Id": "q1", "ReturnData": true, "Expression": grouped, "Period": 60 }] }),
            ),
        ],
        data: vec![json!({ "metric": "HTTPCode_5XX_Count", "dimensions": { "VirtualNode": "recs-v1" }, "value": 0.0 })],
        contributors: [(
            "recs-fleet".to_owned(),
            json!([{ "ContributorId": "c1", "ContributorAttributes": attributes, "StateReason": "x" }]),
        )]
        .into(),
        mute_rules: vec![json!({ "name": "maintenance", "alarms": ["elsewhere"], "status": "ACTIVE" })],
        ..World::default()
    }
}

impl Failover {
    async fn set(theatre: &Theatre, scenario: &'static str, name: &str) -> (Self, Build) {
        let plane = ControlPlane::start().await;
        build_mesh(&plane).await;
        let cloudwatch = CloudWatch::start(world()).await;
        let mut services = theatre.stack().variables().to_vec();
        services.retain(|(variable, _)| !variable.ends_with("_CLOUDWATCH"));
        services.push(("AWS_ENDPOINT_URL_APP_MESH", &plane.endpoint));
        services.push(("AWS_ENDPOINT_URL_CLOUDWATCH", &cloudwatch.endpoint));
        let way = Way::to(&services).await;
        let table = format!("permissions-{name}");
        create_state_table(&theatre.table(), &table).await;
        let policy_at =
            if scenario == "policy in a parameter" { "ssm:/meshwarden/policy" } else { "s3://rules/policy.yaml" };
        let build = Build::new("route-failover", env!("CARGO_BIN_EXE_route-failover"))
            .calls(&way)
            .with("MESHWARDEN_POLICY", policy_at)
            .with("MESHWARDEN_TABLE", &table)
            .with("MESHWARDEN_REPORTS", "s3://reports/route-failover")
            .with("MESHWARDEN_TOPIC", theatre.topic())
            .with("MESHWARDEN_BUS", "default");
        (Self { scenario, plane, cloudwatch, way }, build)
    }

    fn turn(&self, names: &[&str], state: &str) {
        self.cloudwatch.change(|world| names.iter().for_each(|name| world.set_state(name, state)));
    }

    async fn weights(&self) -> Value {
        let route = self.plane.get(ROUTE).await;
        let targets = route["spec"]["http2Route"]["action"]["weightedTargets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(|target| target["weight"].clone()).collect()
    }
}

impl Scenario for Failover {
    fn way(&self) -> &Way {
        &self.way
    }

    async fn play(&self, player: &mut Player) {
        let tick = sample("route-failover", "tick-rule");
        player.invoke(&tick).await.ok();
        if self.scenario == "policy in a parameter" {
            return;
        }
        self.turn(&["recs-v1-5xx", "recs-5xx", "recs-fleet"], "ALARM");
        let event = sample("route-failover", "alarm-metric").to_string();
        let event = event.replace("shop-recommendations-v2-5xx", "recs-v1-5xx");
        player.invoke(&serde_json::from_str(&event).unwrap()).await.ok();
        player.invoke(&tick).await.ok();
        self.turn(&["recs-v1-5xx", "recs-5xx", "recs-fleet"], "OK");
        let deadline = Instant::now() + PATIENCE;
        // After a denied call, the scenario need not reach its end.
        while self.way.happened().is_empty() && self.way.count("PUT /v20190125/untag") == 0 {
            assert!(Instant::now() < deadline, "the route does not come back: {}", self.weights().await);
            player.invoke(&tick).await.ok();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn build_mesh(plane: &ControlPlane) {
    let listener = json!({ "portMapping": { "port": 8080, "protocol": "http2" } });
    plane.put("/v20190125/meshes", &json!({ "meshName": "shop" })).await;
    for node in ["recs-v1", "recs-v2"] {
        let discovery = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
        let spec = json!({ "listeners": [listener], "serviceDiscovery": discovery });
        plane.put(&format!("{MESH}/virtualNodes"), &json!({ "virtualNodeName": node, "spec": spec })).await;
    }
    let router = json!({ "virtualRouterName": "recs", "spec": { "listeners": [listener] } });
    plane.put(&format!("{MESH}/virtualRouters"), &router).await;
    let targets = ["recs-v1", "recs-v2"].map(|node| json!({ "virtualNode": node, "weight": 50 }));
    let spec = json!({ "http2Route": { "action": { "weightedTargets": targets }, "match": { "prefix": "/" } } });
    plane.put(&format!("{MESH}/virtualRouter/recs/routes"), &json!({ "routeName": "all", "spec": spec })).await;
    let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } });
    let service = json!({ "virtualServiceName": "recs.shop.local", "spec": provider });
    plane.put(&format!("{MESH}/virtualServices"), &service).await;
    let gateway = json!({ "virtualGatewayName": "edge", "spec": { "listeners": [listener] } });
    plane.put(&format!("{MESH}/virtualGateways"), &gateway).await;
    let target = json!({ "virtualService": { "virtualServiceName": "recs.shop.local" } });
    let route = json!({ "http2Route": { "action": { "target": target }, "match": { "prefix": "/" } } });
    plane
        .put(&format!("{MESH}/virtualGateway/edge/gatewayRoutes"), &json!({ "gatewayRouteName": "all", "spec": route }))
        .await;
}

#[tokio::test]
async fn every_permission_is_needed_and_its_denial_fires_the_alarm() {
    let Some(theatre) = Theatre::open().await else { return };
    theatre.stack().store_policy(&policy()).await;
    let scenarios = ["failover and back", "policy in a parameter"];
    let set =
        async |scenario: &'static str, name: String| Failover::set(&theatre, scenario, &name.replace(' ', "-")).await;
    check("route-failover", &scenarios, set, &[]).await;
}
