//! Services that fail once, for a while or in part: AWS Config receives the same evaluations or none.

use meshwarden_tests::config_events::Stage;
use meshwarden_tests::mixed_batch;
use serde_json::json;

/// The policy of the cases: a required tag, and repairs that are made.
const POLICY: &str = "version: 1\nmodes: { meshes: { shop: { default: enforce } } }\n\
    tags: { required: [{ key: team, inherit: false }], grace: 1s }\n";

#[tokio::test]
async fn no_failing_call_leads_to_a_false_answer() {
    let binary = env!("CARGO_BIN_EXE_tag-compliance");
    let cases = meshwarden_tests::config_cases::play("tag-compliance", binary, POLICY, "NON_COMPLIANT").await;
    println!("{cases} cases");
}

/// 50: if one mesh of a batch fails, only the message of that mesh is delivered again.
#[tokio::test]
async fn only_the_message_of_the_failing_mesh_is_delivered_again() {
    let Some(stage) = Stage::open("tag-compliance", POLICY, &[]).await else { return };
    stage.create("", json!({ "meshName": "shop" })).await;
    for fault in mixed_batch::FAULTS {
        let mut function = stage.build(env!("CARGO_BIN_EXE_tag-compliance")).start().await;
        mixed_batch::check(&mut function, stage.way(), fault, mixed_batch::mesh_update).await;
    }
}
