//! The role of the function against the calls that it makes, and each of its permissions denied in turn.

use meshwarden_tests::disturbed::Scene as _;
use meshwarden_tests::function::sample;
use meshwarden_tests::permissions::{Player, Scenario, check};
use meshwarden_tests::shop_scene::{ShopScene, Shops};
use meshwarden_tests::way::Way;
use serde_json::json;

/// A state that is too large for the table, and is stored in the reports store.
struct Audit {
    scenario: &'static str,
    scene: ShopScene,
}

impl Scenario for Audit {
    fn way(&self) -> &Way {
        self.scene.way()
    }

    async fn play(&self, player: &mut Player) {
        let tick = sample("change-audit", "tick-rule");
        player.invoke(&tick).await.ok();
        if self.scenario == "policy in a parameter" {
            return;
        }
        let listener = json!({ "portMapping": { "port": 8081, "protocol": "http" } });
        let discovery = json!({ "dns": { "hostname": "cart-v1.shop.local" } });
        let spec = json!({ "listeners": [listener], "serviceDiscovery": discovery });
        self.scene.put("virtualNodes/cart-v1", &json!({ "spec": spec })).await;
        // Another process reads the last state from the store.
        player.restart();
        player.invoke(&tick).await.ok();
    }
}

#[tokio::test]
async fn every_permission_is_needed_and_its_denial_fires_the_alarm() {
    let binary = env!("CARGO_BIN_EXE_change-audit");
    let Some(shops) = Shops::open("change-audit", binary, "tick-rule").await else { return };
    shops.store_policy("version: 1\nprofile: strict\n").await;
    let set = async |scenario: &'static str, name: String| {
        let scene = shops.set(&format!("permissions-{}", name.replace(' ', "-"))).await;
        scene.fill().await;
        scene.way().answer_as_aws();
        let place =
            if scenario == "policy in a parameter" { "ssm:/meshwarden/policy" } else { "s3://rules/policy.yaml" };
        let build = scene.build().with("MESHWARDEN_POLICY", place);
        let build = build.with("MESHWARDEN_REPORTS", "s3://reports/change-audit");
        (Audit { scenario, scene }, build)
    };
    let exempt = [("s3:ListBucket", "without it, an object that was deleted looks like one that may not be read")];
    check("change-audit", &["a change of a large mesh", "policy in a parameter"], set, &exempt).await;
}
