//! The role of the function against the calls that it makes, and each of its permissions denied in turn.

use meshwarden_tests::cloudwatch::{CloudWatch, World};
use meshwarden_tests::function::Build;
use meshwarden_tests::permissions::{Player, Scenario, check};
use meshwarden_tests::stack::{ACCOUNT, MiniStack, REGION};
use meshwarden_tests::way::Way;
use serde_json::{Value, json};

use crate::stage::{POLICY, Stage, event};

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
    format!("{POLICY}waivers:\n{waivers}")
}

/// A drill, which a failing receiver ends.
struct Drill {
    scenario: &'static str,
    stage: Stage,
    cloudwatch: CloudWatch,
}

fn alarm(name: &str, source: &Value) -> Value {
    let mut alarm = json!({
        "AlarmName": name, "AlarmArn": format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"),
        "ActionsEnabled": true, "AlarmActions": [], "StateValue": "OK", "StateReason": "stub",
        "StateUpdatedTimestamp": 1_795_997_946.5, "StateTransitionedTimestamp": 1_795_997_946.5,
        "EvaluationPeriods": 1, "Threshold": 1.5, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    });
    alarm.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    alarm
}

fn metric(name: &str, dimensions: &[(&str, &str)]) -> Value {
    let dimensions: Vec<Value> =
        dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    json!({ "MetricName": name, "Namespace": "AppMesh", "Statistic": "Sum", "Period": 60, "Dimensions": dimensions })
}

fn world() -> World {
    let grouped = "SELECT SUM(HTTPCode_5XX_Count) FROM SCHEMA(AppMesh, Mesh, VirtualNode) \
                   GROUP BY Mesh, VirtualNode ORDER BY SUM() DESC";
    let attributes = json!({ "Mesh": "shop", "VirtualNode": "recs-v2" });
    World {
        alarms: vec![
            alarm("checkout", &metric("CheckoutErrors", &[("Service", "checkout")])),
            alarm("deploys", &metric("Deployments", &[("Service", "deploys")])),
            alarm("recs-v2-5xx", &metric("HTTPCode_5XX_Count", &[("Mesh", "shop"), ("VirtualNode", "recs-v2")])),
            // Only its tags could contain a target.
            alarm("recs-5xx", &metric("HTTPCode_5XX_Count", &[("Mesh", "shop")])),
            alarm(
                "recs-fleet",
                &json!({ "Metrics": [{ "Id": "q1", "ReturnData": true, "Expression": grouped, "Period": 60 }] }),
            ),
        ],
        contributors: [(
            "recs-fleet".to_owned(),
            json!([{ "ContributorId": "c1", "ContributorAttributes": attributes, "StateReason": "x" }]),
        )]
        .into(),
        mute_rules: vec![json!({ "name": "maintenance", "alarms": ["elsewhere"], "status": "ACTIVE" })],
        ..World::default()
    }
}

impl Drill {
    async fn set(stack: &MiniStack, scenario: &'static str, name: &str) -> (Self, Build) {
        let cloudwatch = CloudWatch::start(world()).await;
        let replaced = [("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch.endpoint.as_str())];
        let stage = Stage::without_alarms(stack, &format!("permissions-{name}"), &replaced).await;
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } });
        stage.put("virtualServices", &json!({ "virtualServiceName": "recs.shop.local", "spec": provider })).await;
        let gateway = json!({ "virtualGatewayName": "edge", "spec": { "listeners": [listener] } });
        stage.put("virtualGateways", &gateway).await;
        let target = json!({ "virtualService": { "virtualServiceName": "recs.shop.local" } });
        let rule = json!({ "httpRoute": { "action": { "target": target }, "match": { "prefix": "/" } } });
        stage.put("virtualGateway/edge/gatewayRoutes", &json!({ "gatewayRouteName": "all", "spec": rule })).await;
        let policy =
            if scenario == "policy in a parameter" { "ssm:/meshwarden/policy" } else { "s3://rules/policy.yaml" };
        let build =
            stage.build().with("MESHWARDEN_POLICY", policy).with("MESHWARDEN_REPORTS", "s3://reports/failover-drill");
        (Self { scenario, stage, cloudwatch }, build)
    }
}

impl Scenario for Drill {
    fn way(&self) -> &Way {
        &self.stage.way
    }

    async fn play(&self, player: &mut Player) {
        player.invoke(&event("tick-rule")).await.ok();
        if self.scenario == "policy in a parameter" {
            return;
        }
        player.invoke(&event("direct-start")).await.ok();
        player.invoke(&event("tick-rule")).await.ok();
        for name in ["recs-v2-5xx", "recs-5xx", "recs-fleet"] {
            self.cloudwatch.change(|world| world.set_state(name, "ALARM"));
        }
        player.invoke(&event("tick-rule")).await.ok();
        player.invoke(&event("stop")).await.ok();
        player.invoke(&event("tick-rule")).await.ok();
    }
}

#[tokio::test]
async fn every_permission_is_needed_and_its_denial_fires_the_alarm() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.store_policy(&policy()).await;
    let set = async |scenario: &'static str, name: String| Drill::set(&stack, scenario, &name.replace(' ', "-")).await;
    check("failover-drill", &["drill", "policy in a parameter"], set, &[]).await;
}
