//! The built function under a Lambda runtime of the test: every kind of message from AWS Config leads to the right
//! evaluations.

use meshwarden_tests::config_events::Stage;
use serde_json::json;

const MESH: &str = "mesh/shop";
const CART: &str = "mesh/shop/virtualRouter/cart";
const V2: &str = "mesh/shop/virtualNode/recommendations-v2";

#[tokio::test]
async fn every_kind_of_message_is_answered() {
    let Some(stage) = Stage::open("egress-compliance", "version: 1\n", &[]).await else { return };
    let open = json!({ "egressFilter": { "type": "ALLOW_ALL" } });
    stage.create("", json!({ "meshName": "shop", "spec": open })).await;
    stage.create("virtualNodes", json!({ "virtualNodeName": "recommendations-v2", "spec": {} })).await;
    let router = json!({ "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }] });
    stage.create("virtualRouters", json!({ "virtualRouterName": "cart", "spec": router })).await;
    let mut function = stage.build(env!("CARGO_BIN_EXE_egress-compliance")).start().await;
    for (event, expected) in [
        ("config-change-mesh", &[(MESH, "NON_COMPLIANT")][..]),
        ("config-change-node", &[(V2, "COMPLIANT")]),
        // moto has no configuration item for it; the data of the notification is sufficient.
        ("config-oversized", &[(V2, "COMPLIANT")]),
        ("config-deleted", &[(MESH, "NOT_APPLICABLE")]),
        // A router sends no traffic out of the mesh.
        ("config-scheduled", &[(MESH, "NON_COMPLIANT"), (V2, "COMPLIANT"), (CART, "NOT_APPLICABLE")]),
    ] {
        let report = function.answer(&stage.trial(event)).await.unwrap();
        let evaluations = stage.evaluations();
        let received: Vec<(&str, &str)> = evaluations
            .iter()
            .flatten()
            .map(|(path, evaluation)| (path.as_str(), evaluation.compliance.as_str()))
            .collect();
        assert_eq!(received, expected, "{event}: {report:#}");
    }
    assert_eq!(stage.calls("GetResourceConfigHistory"), 1);
}

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    meshwarden_tests::start_up::check("egress-compliance", env!("CARGO_BIN_EXE_egress-compliance"), &[]).await;
}

#[tokio::test]
async fn start_does_not_wait_for_a_policy_that_does_not_arrive() {
    meshwarden_tests::start_up::slow_policy::check(
        "egress-compliance",
        env!("CARGO_BIN_EXE_egress-compliance"),
        "tick-rule",
    )
    .await;
}
