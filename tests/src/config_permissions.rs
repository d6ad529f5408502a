//! Tests the permissions of a function that answers AWS Config and remediates its findings.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::config_events::{Services, Stage, arn};
use crate::disturbed::Scene as _;
use crate::function::{Build, sample};
use crate::permissions::{Player, Scenario, check};
use crate::way::Way;

/// The maximum time of remediations that take a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The virtual node that the sample events are about.
const V2: &str = "mesh/shop/virtualNode/recommendations-v2";

/// A function and the findings that it remediates.
#[derive(Clone, Debug)]
pub struct Compliance {
    /// The name of the function.
    pub name: &'static str,
    /// The path of its command: `env!("CARGO_BIN_EXE_<name>")`.
    pub binary: &'static str,
    /// The sample event on which it reads the newest item from AWS Config.
    pub event: &'static str,
    /// The remediations, each in a separate mesh.
    pub repairs: Vec<Repair>,
}

/// A mesh, and the remediation in it.
#[derive(Clone, Debug)]
pub struct Repair {
    /// The spec of the mesh `shop`.
    pub mesh: Value,
    /// Whether its virtual node has a backend that does not exist.
    pub dangling: bool,
    /// The request that makes the remediation.
    pub write: &'static str,
}

/// The scenario in which the policy is in Systems Manager.
const PARAMETER: &str = "policy in a parameter";

/// The scenarios of the remediations.
const REPAIRS: [&str; 2] = ["first repair", "second repair"];

struct Repairing<'a> {
    function: &'a Compliance,
    scenario: &'static str,
    repair: &'a Repair,
    stage: Stage,
}

impl Scenario for Repairing<'_> {
    fn way(&self) -> &Way {
        self.stage.way()
    }

    async fn play(&self, player: &mut Player) {
        let tick = sample(self.function.name, "tick-rule");
        if self.scenario == PARAMETER {
            player.invoke(&tick).await.ok();
            return;
        }
        player.invoke(&self.stage.trial(self.function.event)).await.ok();
        let deadline = Instant::now() + PATIENCE;
        // Once a call was denied, the scenario need not complete.
        while self.way().happened().is_empty() && self.way().count(self.repair.write) == 0 {
            let answer = player.invoke(&tick).await;
            assert!(Instant::now() < deadline, "{} is never made: {answer:#?}", self.repair.write);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A policy that is so large that an observation, which contains it, does not fit into the journal.
fn large(policy: &str) -> String {
    let waiver = |number: usize| {
        let reason = "r".repeat(900);
        format!(
            "  - {{ rule: listener-tls-permissive, resource: mesh/shop/virtualNode/n{number}, owner: payments, \
             reason: {reason}, until: 2099-06-01T00:00:00Z }}\n"
        )
    };
    format!("{policy}waivers:\n{}", (0..60).map(waiver).collect::<String>())
}

async fn set<'a>(services: &Arc<Services>, function: &'a Compliance, scenario: &'static str) -> (Repairing<'a>, Build) {
    let number = REPAIRS.iter().position(|name| *name == scenario).unwrap_or_default();
    let repair = &function.repairs[number];
    let recorded = json!({
        "resourceType": "AWS::AppMesh::VirtualNode", "resourceId": arn(V2), "configurationItemStatus": "OK",
        "configurationItemCaptureTime": 1_795_169_035.0,
    });
    let stage = Stage::with(Arc::clone(services), function.name, "version: 1\n", &[(V2, recorded)]).await;
    stage.create("", repair.mesh.clone()).await;
    let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
    let dangling = json!({ "backends": [{ "virtualService": { "virtualServiceName": "absent.shop.local" } }] });
    let spec = if repair.dangling { dangling } else { json!({}) };
    stage.create("virtualNodes", json!({ "virtualNodeName": "recommendations-v2", "spec": spec })).await;
    stage.create("virtualRouters", json!({ "virtualRouterName": "cart", "spec": { "listeners": [listener] } })).await;
    let targets = json!([{ "virtualNode": "recommendations-v2", "weight": 1 }]);
    let route = json!({ "httpRoute": { "action": { "weightedTargets": targets }, "match": { "prefix": "/" } } });
    stage.create("virtualRouter/cart/routes", json!({ "routeName": "all", "spec": route })).await;
    let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "cart" } } });
    stage.create("virtualServices", json!({ "virtualServiceName": "cart.shop.local", "spec": provider })).await;
    let gateway = json!({ "listeners": [listener] });
    stage.create("virtualGateways", json!({ "virtualGatewayName": "edge", "spec": gateway })).await;
    let target = json!({ "virtualService": { "virtualServiceName": "cart.shop.local" } });
    let route = json!({ "httpRoute": { "action": { "target": target }, "match": { "prefix": "/" } } });
    let route = json!({ "gatewayRouteName": "all", "spec": route });
    stage.create("virtualGateway/edge/gatewayRoutes", route).await;
    // The control plane would otherwise include tags in the description of a resource, and the function would make no
    // other call for them.
    stage.way().answer_as_aws();
    let place = if scenario == PARAMETER { "ssm:/meshwarden/policy" } else { "s3://rules/policy.yaml" };
    let scene = stage.scene(function.binary, function.event);
    let build = scene.build().with("MESHWARDEN_POLICY", place);
    let build = build.with("MESHWARDEN_REPORTS", format!("s3://reports/{}", function.name));
    (Repairing { function, scenario, repair, stage: scene.into_stage() }, build)
}

/// Checks the role of a function against its calls.
pub async fn check_role(services: &Arc<Services>, function: &Compliance, policy: &str) {
    services.store_policy(&large(policy)).await;
    let set = async |scenario: &'static str, _: String| set(services, function, scenario).await;
    let mut scenarios = REPAIRS[..function.repairs.len()].to_vec();
    scenarios.push(PARAMETER);
    check(function.name, &scenarios, set, &[]).await;
}
