//! The role of the function against the calls that it makes, and each of its permissions denied in turn.

use jiff::{SignedDuration, Timestamp};
use meshwarden_tests::disturbed::Scene as _;
use meshwarden_tests::moto::Moto;
use meshwarden_tests::permissions::{Player, Scenario, check};
use meshwarden_tests::shop_scene::{ShopScene, Shops};
use meshwarden_tests::way::Way;
use serde_json::{Value, json};

const HOST: &str = "orders.shop.local";

/// A mesh with certificates of every source.
struct Sweep(ShopScene);

impl Scenario for Sweep {
    fn way(&self) -> &Way {
        self.0.way()
    }

    async fn play(&self, player: &mut Player) {
        player.invoke(&self.0.event()).await.ok();
    }
}

#[tokio::test]
async fn every_permission_is_needed_and_its_denial_fires_the_alarm() {
    let binary = env!("CARGO_BIN_EXE_compliance-sweep");
    let Some(moto) = Moto::start().await else { return };
    let Some(shops) = Shops::open("compliance-sweep", binary, "schedule").await else { return };
    let root = moto.authority("shop").await;
    let (now, day) = (Timestamp::from_second(Timestamp::now().as_second()).unwrap(), SignedDuration::from_hours(24));
    let arn = moto.import(&root.issue(HOST, now - day, now + day * 90).await, &root, &[]).await;
    moto.create_secret("bundle", "{}").await;
    let authority = root.arn.as_str();
    let policy = format!(
        "version: 1\nprofile: strict\ncertificates:\n  bundles: [{{ secretName: key, secret: bundle, authority: '{authority}' }}]\n"
    );
    shops.store_policy(&policy).await;
    let shops = shops.with(&[
        ("AWS_ENDPOINT_URL_ACM", moto.endpoint.as_str()),
        ("AWS_ENDPOINT_URL_ACM_PCA", &moto.endpoint),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &moto.endpoint),
        ("AWS_ENDPOINT_URL_SECURITYHUB", &moto.endpoint),
    ]);
    let set = async |scenario: &'static str, name: String| {
        let scene = shops.set(&format!("permissions-{}", name.replace(' ', "-"))).await;
        scene.fill().await;
        let node = |name: &str, certificate: Value| {
            let tls = json!({ "mode": "STRICT", "certificate": certificate });
            let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" }, "tls": tls });
            let trust = json!({ "acm": { "certificateAuthorityArns": [authority] } });
            let policy = json!({ "tls": { "enforce": true, "validation": { "trust": trust } } });
            let backend = json!({ "virtualServiceName": "cart.shop.local", "clientPolicy": policy });
            let spec = json!({ "listeners": [listener], "serviceDiscovery": { "dns": { "hostname": HOST } },
                "backends": [{ "virtualService": backend }] });
            json!({ "virtualNodeName": name, "spec": spec })
        };
        scene.put("virtualNodes", &node("in-acm", json!({ "acm": { "certificateArn": arn } }))).await;
        scene.put("virtualNodes", &node("in-secret", json!({ "sds": { "secretName": "key" } }))).await;
        scene.way().answer_as_aws();
        let place =
            if scenario == "policy in a parameter" { "ssm:/meshwarden/policy" } else { "s3://rules/policy.yaml" };
        let build = scene.build().with("MESHWARDEN_POLICY", place).with("MESHWARDEN_SECURITY_HUB", "on");
        let build = build.with("MESHWARDEN_REPORTS", "s3://reports/compliance-sweep");
        (Sweep(scene), build)
    };
    check("compliance-sweep", &["policy in an object", "policy in a parameter"], set, &[]).await;
}
