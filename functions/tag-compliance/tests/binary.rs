//! The built function under a Lambda runtime of the test: every kind of message from AWS Config leads to the right
//! evaluations.

use std::collections::BTreeMap;

use meshwarden_tests::config_events::{ReceivedEvaluation, Stage, arn};
use meshwarden_tests::function::Function;
use serde_json::{Value, json};

const POLICY: &str = "version: 1\ntags: { required: [{ key: team }] }\n";

/// The virtual node of every sample event.
const V2: &str = "mesh/shop/virtualNode/recommendations-v2";
/// When AWS Config recorded the node in the sample events, in milliseconds since the epoch.
const CAPTURED: i64 = 1_795_169_030_512;
/// When AWS Config requested the evaluation in the sample events, in milliseconds since the epoch.
const REQUESTED: i64 = 1_795_169_038_101;

async fn stage(items: &[(&str, Value)]) -> Option<(Stage, Function)> {
    let stage = Stage::open("tag-compliance", POLICY, items).await?;
    let tags = json!([{ "key": "team", "value": "shop" }]);
    stage.create("", json!({ "meshName": "shop", "tags": tags })).await;
    stage.create("virtualNodes", json!({ "virtualNodeName": "recommendations-v1", "spec": {}, "tags": tags })).await;
    stage.create("virtualNodes", json!({ "virtualNodeName": "recommendations-v2", "spec": {} })).await;
    let function = stage.build(env!("CARGO_BIN_EXE_tag-compliance")).start().await;
    Some((stage, function))
}

/// The content of one evaluation: resource type, compliance, the beginning of its annotation, and time.
fn content(evaluation: &ReceivedEvaluation) -> (&str, &str, &str, i64) {
    let annotation = evaluation.annotation.split(';').next().unwrap_or_default();
    (&evaluation.resource_type, &evaluation.compliance, annotation, evaluation.at)
}

#[tokio::test]
async fn every_kind_of_message_about_a_resource_is_answered() {
    let recorded = json!({
        "resourceType": "AWS::AppMesh::VirtualNode", "resourceId": arn(V2), "configurationItemStatus": "OK",
        "configurationItemCaptureTime": 1_795_169_035.0,
    });
    let Some((stage, mut function)) = stage(&[(V2, recorded)]).await else { return };
    let node = "AWS::AppMesh::VirtualNode";
    let lacks = "tag-missing: it lacks the tag `team`";
    for (event, expected) in [
        ("config-change", (node, "NON_COMPLIANT", lacks, CAPTURED)),
        // The item is too large for the event. AWS Config returns it, and has recorded it again since.
        ("config-oversized", (node, "NON_COMPLIANT", lacks, 1_795_169_035_000)),
        ("config-deleted", (node, "NOT_APPLICABLE", "it was deleted", CAPTURED)),
        ("config-left-scope", (node, "NOT_APPLICABLE", "it left the scope of the rule", CAPTURED)),
    ] {
        let report = function.answer(&stage.trial(event)).await.unwrap();
        let evaluations = stage.evaluations();
        assert_eq!(evaluations.len(), 1, "{event}: {report:#}");
        assert_eq!(evaluations[0].keys().collect::<Vec<_>>(), [V2], "{event}");
        assert_eq!(content(&evaluations[0][V2]), expected, "{event}");
    }
    assert_eq!(stage.calls("GetResourceConfigHistory"), 1);
    assert_eq!(stage.calls("GET /v20190125/meshes/shop"), 1, "one read of the mesh serves all answers");
}

#[tokio::test]
async fn scheduled_request_is_answered_for_all_resources_by_calls_of_a_hundred() {
    let Some((stage, mut function)) = stage(&[]).await else { return };
    for number in 0..120 {
        stage.create("virtualNodes", json!({ "virtualNodeName": format!("n{number}"), "spec": {} })).await;
    }
    function.answer(&stage.trial("config-scheduled")).await.unwrap();
    let evaluations = stage.evaluations();
    assert_eq!(evaluations.iter().map(BTreeMap::len).collect::<Vec<_>>(), [100, 23]);
    let all: BTreeMap<&String, &ReceivedEvaluation> = evaluations.iter().flatten().collect();
    assert_eq!(all.values().filter(|evaluation| evaluation.compliance == "NON_COMPLIANT").count(), 121);
    let of = |path: &str| content(all[&path.to_owned()]);
    assert_eq!(of("mesh/shop"), ("AWS::AppMesh::Mesh", "COMPLIANT", "", REQUESTED));
    assert_eq!(of("mesh/shop/virtualNode/recommendations-v1").1, "COMPLIANT");
    assert_eq!(of(V2).1, "NON_COMPLIANT");
}

#[tokio::test]
async fn event_is_retried_after_a_rejected_answer() {
    let Some((stage, mut function)) = stage(&[]).await else { return };
    // moto accepts only evaluations in test mode.
    let error = function.answer(&stage.sample("config-change")).await.unwrap_err();
    assert!(error.to_string().contains("evaluations"), "{error:#}");
}

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    meshwarden_tests::start_up::check("tag-compliance", env!("CARGO_BIN_EXE_tag-compliance"), &[]).await;
}

#[tokio::test]
async fn start_does_not_wait_for_a_policy_that_does_not_arrive() {
    meshwarden_tests::start_up::slow_policy::check("tag-compliance", env!("CARGO_BIN_EXE_tag-compliance"), "tick-rule")
        .await;
}
