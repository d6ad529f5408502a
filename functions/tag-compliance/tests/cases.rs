//! Services that fail once, for a while or in part: AWS Config is told the same or nothing.

use meshwarden_tests::config_events::Stage;
use meshwarden_tests::faults::Fault;
use serde_json::json;

/// As in the cases: a required tag, and repairs that are made.
const POLICY: &str = "version: 1\nmodes: { meshes: { shop: { default: enforce } } }\n\
    tags: { required: [{ key: team, inherit: false }], grace: 1s }\n";

#[tokio::test]
async fn no_failing_call_leads_to_a_false_answer() {
    let binary = env!("CARGO_BIN_EXE_tag-compliance");
    let cases = meshwarden_tests::config_cases::play("tag-compliance", binary, POLICY, "NON_COMPLIANT").await;
    println!("{cases} cases");
}

/// 50: of a batch in which one mesh fails, only that mesh's message comes again.
#[tokio::test]
async fn only_the_message_of_the_failing_mesh_comes_again() {
    let Some(stage) = Stage::open("tag-compliance", POLICY, &[]).await else { return };
    stage.create("", json!({ "meshName": "shop" })).await;
    let event = |mesh: &str| {
        json!({ "version": "0", "id": mesh, "detail-type": "AWS API Call via CloudTrail", "source": "aws.appmesh",
            "account": "123456789012", "time": "2026-11-20T10:03:51Z", "region": "eu-west-1", "resources": [],
            "detail": { "eventSource": "appmesh.amazonaws.com", "eventName": "UpdateMesh",
                "eventTime": "2026-11-20T10:03:50Z", "requestParameters": { "meshName": mesh },
                "userIdentity": { "type": "Root", "accountId": "123456789012" } } })
        .to_string()
    };
    for fault in [Fault::Unavailable, Fault::TooManyRequests, Fault::InternalError, Fault::Reset] {
        let mut function = stage.build(env!("CARGO_BIN_EXE_tag-compliance")).start().await;
        stage.way().inject_next("/meshes/lab", fault, 10_000);
        let record = |(id, body): (&str, String)| json!({ "messageId": id, "body": body, "eventSource": "aws:sqs" });
        let bodies = [("shop", event("shop")), ("lab", event("lab")), ("cut", event("shop")[..40].to_owned())];
        let answer = function.answer(&json!({ "Records": bodies.map(record) })).await.unwrap();
        stage.way().heal();
        let mut failed: Vec<&str> = answer["batchItemFailures"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["itemIdentifier"].as_str())
            .collect();
        failed.sort_unstable();
        assert_eq!(failed, ["cut", "lab"], "{fault:?}: {answer:#}");
    }
}
