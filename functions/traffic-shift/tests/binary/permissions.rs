//! The role of the function against the calls that it makes, and each of its permissions denied in turn.

use axum::Router;
use axum::routing::any;
use jiff::SignedDuration;
use meshwarden_tests::cloudwatch::{CloudWatch, World};
use meshwarden_tests::function::{Build, sample};
use meshwarden_tests::permissions::{Player, Scenario, check};
use meshwarden_tests::stack::{ACCOUNT, MiniStack, REGION, let_time_pass};
use meshwarden_tests::way::Way;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stage::{Stage, request};

const ALARM: &str = "recs-checkout";

/// A policy that makes the observation too large for the journal, since the observation contains it.
fn policy() -> String {
    let waiver = |number: usize| {
        let reason = "r".repeat(900);
        format!(
            "  - {{ rule: listener-tls-permissive, resource: mesh/shop/virtualNode/n{number}, owner: payments, \
             reason: {reason}, until: 2099-06-01T00:00:00Z }}\n"
        )
    };
    let waivers: String = (0..150).map(waiver).collect();
    format!("version: 1\nmodes: {{ meshes: {{ shop: {{ default: enforce }} }} }}\nwaivers:\n{waivers}")
}

/// A rollout with an alarm, a metric and a hook, which its alarm ends.
struct Rollout {
    scenario: &'static str,
    stage: Stage,
    cloudwatch: CloudWatch,
    hooks: JoinHandle<()>,
}

/// Lambda with functions that answer each hook with success.
async fn hooks() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(any(async || json!({ "hookStatus": "SUCCEEDED" }).to_string()));
    (address, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
}

fn world() -> World {
    let metric = json!({ "MetricName": "CheckoutErrors", "Namespace": "Shop", "Statistic": "Sum", "Period": 60,
        "Dimensions": [{ "Name": "Service", "Value": "checkout" }] });
    let mut alarm = json!({
        "AlarmName": ALARM, "AlarmArn": format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{ALARM}"),
        "ActionsEnabled": true, "AlarmActions": [], "StateValue": "OK", "StateReason": "stub",
        "StateUpdatedTimestamp": 1_795_997_946.5, "StateTransitionedTimestamp": 1_795_997_946.5,
        "EvaluationPeriods": 1, "Threshold": 1.5, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    });
    alarm.as_object_mut().unwrap().extend(metric.as_object().unwrap().clone());
    World {
        alarms: vec![alarm],
        mute_rules: vec![json!({ "name": "maintenance", "alarms": ["elsewhere"], "status": "ACTIVE" })],
        ..World::default()
    }
}

impl Rollout {
    async fn set(stack: &MiniStack, scenario: &'static str, name: &str) -> (Self, Build) {
        let cloudwatch = CloudWatch::start(world()).await;
        let (lambda, hooks) = hooks().await;
        let replaced =
            [("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch.endpoint.as_str()), ("AWS_ENDPOINT_URL_LAMBDA", &lambda)];
        let stage = Stage::without_alarm(stack, &format!("permissions-{name}"), &replaced).await;
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        let gateway = json!({ "virtualGatewayName": "edge", "spec": { "listeners": [listener] } });
        stage.put("virtualGateways", &gateway).await;
        let target = json!({ "virtualService": { "virtualServiceName": "recs.shop.local" } });
        let rule = json!({ "httpRoute": { "action": { "target": target }, "match": { "prefix": "/" } } });
        stage.put("virtualGateway/edge/gatewayRoutes", &json!({ "gatewayRouteName": "all", "spec": rule })).await;
        let policy =
            if scenario == "policy in a parameter" { "ssm:/meshwarden/policy" } else { "s3://rules/policy.yaml" };
        let build =
            stage.build().with("MESHWARDEN_POLICY", policy).with("MESHWARDEN_REPORTS", "s3://reports/traffic-shift");
        (Self { scenario, stage, cloudwatch, hooks }, build)
    }
}

impl Drop for Rollout {
    fn drop(&mut self) {
        self.hooks.abort();
    }
}

impl Scenario for Rollout {
    fn way(&self) -> &Way {
        &self.stage.way
    }

    async fn play(&self, player: &mut Player) {
        let tick = sample("traffic-shift", "tick-rule");
        if self.scenario == "policy in a parameter" {
            player.invoke(&tick).await.ok();
            return;
        }
        let mut event = request(ALARM, "canary", &["25"]);
        let hook = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:meshwarden-hook-smoke");
        event["detail"]["hooks"] = json!([{ "stage": "before", "function": hook }]);
        event["detail"]["gates"]["metrics"] = json!([{ "errorRatio": { "max": "1%" }, "minRequests": 1 }]);
        player.invoke(&event).await.ok();
        player.invoke(&tick).await.ok();
        // Metrics are read from the first whole minute of a step on.
        let_time_pass(&self.stage.table(), self.stage.name(), SignedDuration::from_mins(3)).await;
        player.restart();
        player.invoke(&tick).await.ok();
        self.cloudwatch.change(|world| world.set_state(ALARM, "ALARM"));
        player.invoke(&tick).await.ok();
        player.invoke(&tick).await.ok();
    }
}

#[tokio::test]
async fn every_permission_is_needed_and_its_denial_fires_the_alarm() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.store_policy(&policy()).await;
    let set =
        async |scenario: &'static str, name: String| Rollout::set(&stack, scenario, &name.replace(' ', "-")).await;
    check("traffic-shift", &["rollout and rollback", "policy in a parameter"], set, &[]).await;
}
