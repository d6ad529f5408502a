//! The role of the function against the calls that it makes, and each of its permissions denied in turn.

use std::time::Duration;

use jiff::SignedDuration;
use meshwarden_tests::function::Build;
use meshwarden_tests::permissions::{Player, Scenario, check};
use meshwarden_tests::way::Way;
use serde_json::json;
use tokio::time::Instant;

use crate::private_acm::PrivateAcm;
use crate::stage::{Kept, Stage, Theatre, sample};

/// The time limit of a rotation that takes some seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time between two scheduled runs.
const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

const IMPORTED: &str = "an imported certificate";
const BUNDLE: &str = "a bundle";
const RENEWED: &str = "a certificate that ACM renews";
const EXPORTED: &str = "a certificate that is exported first";
const SUCCESSION: &str = "the succession of a CA";
const PARAMETER: &str = "policy in a parameter";

struct Rotation<'a> {
    scenario: &'static str,
    stage: Stage<'a>,
    _acm: PrivateAcm,
}

impl<'a> Rotation<'a> {
    async fn set(theatre: &'a Theatre, scenario: &'static str, name: &str) -> (Self, Build) {
        let acm = PrivateAcm::start(theatre, scenario != EXPORTED).await;
        let kept = if scenario == BUNDLE { Kept::Secret } else { Kept::Imported };
        let age = SignedDuration::from_hours(70 * 24);
        let stage = Stage::set_before(theatre, name, kept, age, &acm.endpoint).await;
        if matches!(scenario, RENEWED | EXPORTED | SUCCESSION) {
            acm.own(&stage.arn, theatre.root.arn.as_str());
        }
        let certificate = json!({ "acm": { "certificateArn": stage.arn } });
        let port = json!({ "port": 8080, "protocol": "http" });
        let listener = json!({ "portMapping": port, "tls": { "mode": "STRICT", "certificate": certificate } });
        let gateway = json!({ "virtualGatewayName": "edge", "spec": { "listeners": [listener] } });
        stage.put("virtualGateways", &gateway).await;
        let service = json!({ "virtualService": { "virtualServiceName": crate::stage::HOST } });
        let route = json!({ "httpRoute": { "action": { "target": service }, "match": { "prefix": "/" } } });
        stage.put("virtualGateway/edge/gatewayRoutes", &json!({ "gatewayRouteName": "all", "spec": route })).await;
        let router = json!({ "virtualRouterName": "orders", "spec": { "listeners": [{ "portMapping": port }] } });
        stage.put("virtualRouters", &router).await;
        let targets = json!([{ "virtualNode": "orders", "weight": 1 }]);
        let route = json!({ "httpRoute": { "action": { "weightedTargets": targets }, "match": { "prefix": "/" } } });
        stage.put("virtualRouter/orders/routes", &json!({ "routeName": "all", "spec": route })).await;
        stage.way.answer_as_aws();
        let policy = policy(theatre, scenario, &stage);
        let place = if scenario == PARAMETER { "ssm:/meshwarden/policy" } else { "s3://rules/policy.yaml" };
        let build = if matches!(scenario, IMPORTED | PARAMETER) {
            theatre.stack().store_policy(&policy).await;
            stage.build().with("MESHWARDEN_POLICY", place)
        } else {
            stage.write_policy_text(&policy);
            stage.build()
        };
        let build = build.with("MESHWARDEN_REPORTS", "s3://reports/certificate-rotation");
        (Self { scenario, stage, _acm: acm }, build)
    }

    /// The request that ends the scenario.
    fn last(&self) -> &'static str {
        match self.scenario {
            IMPORTED => "ImportCertificate",
            BUNDLE => "UpdateSecretVersionStage",
            RENEWED => "RenewCertificate",
            EXPORTED => "ExportCertificate",
            _ => "AddTagsToCertificate",
        }
    }
}

/// A policy that makes an observation too large for the journal, since the observation contains it. It declares all
/// proxies absent, because none are connected here.
fn policy(theatre: &Theatre, scenario: &str, stage: &Stage<'_>) -> String {
    let (root, other) = (&theatre.root.arn, &theatre.other.arn);
    let mut absent: Vec<String> =
        ["virtualNode/web", "virtualNode/orders", "virtualGateway/edge"].map(|path| format!("mesh/shop/{path}")).into();
    absent.extend((0..200).map(|number| format!("mesh/shop/virtualNode/{}-{number}", "absent".repeat(30))));
    let section = match scenario {
        BUNDLE => format!("  bundles: [{{ secretName: key, secret: {}, authority: '{root}' }}]\n", stage.secret()),
        SUCCESSION => format!("  successions: [{{ from: '{root}', to: '{other}' }}]\n"),
        _ => String::new(),
    };
    format!(
        "version: 1\nmodes: {{ default: enforce }}\ncertificates:\n  rollover: {{ absent: [{}] }}\n  \
         backOff: {{ first: 1s, most: 2s }}\n{section}",
        absent.join(", ")
    )
}

impl Scenario for Rotation<'_> {
    fn way(&self) -> &Way {
        &self.stage.way
    }

    async fn play(&self, player: &mut Player) {
        if self.scenario == PARAMETER {
            player.invoke(&sample("tick-rule")).await.ok();
            return;
        }
        if self.scenario == IMPORTED {
            // It pages: an operator has to act.
            let mut event = sample("acm-renewal-action-required");
            event["resources"] = json!([self.stage.arn]);
            player.invoke(&event).await.ok();
        }
        player.invoke(&self.stage.event()).await.ok();
        let deadline = Instant::now() + PATIENCE;
        // After a denied call, the scenario need not reach its end.
        while self.way().happened().is_empty() && self.way().count(self.last()) == 0 {
            self.stage.let_leases_run_out().await;
            self.stage.let_time_pass(INTERVAL).await;
            let answer = player.invoke(&sample("tick-rule")).await;
            assert!(Instant::now() < deadline, "{}: {} is never made: {answer:#?}", self.scenario, self.last());
        }
    }
}

#[tokio::test]
async fn every_permission_is_needed_and_its_denial_fires_the_alarm() {
    let Some(theatre) = Theatre::open().await else { return };
    let scenarios = [IMPORTED, BUNDLE, RENEWED, EXPORTED, SUCCESSION, PARAMETER];
    let set = async |scenario: &'static str, name: String| {
        Rotation::set(&theatre, scenario, &format!("permissions-{}", name.replace(' ', "-"))).await
    };
    let by_secrets_manager = "Secrets Manager uses it for the caller, where a key of one's own encrypts bundles";
    let exempt = [("kms:Decrypt", by_secrets_manager), ("kms:GenerateDataKey", by_secrets_manager)];
    check("certificate-rotation", &scenarios, set, &exempt).await;
}
