//! The parts of CloudWatch that the local one does not implement: contributors, mute rules, PromQL alarms and evaluation states.

use mesh::alarm::{AlarmName, AlarmSource, EvaluationState};
use ports::{AlarmReader, PortErrorKind};
use serde_json::{Value, json};

use crate::canned::{CannedResponse, CannedServer, ReceivedRequest};

fn name(text: &str) -> AlarmName {
    AlarmName::parse(text).unwrap()
}

fn ok(value: &Value) -> CannedResponse {
    CannedResponse::cbor(200, value)
}

/// Whether a request contains a text; CBOR encodes texts unchanged.
fn body_contains(request: &ReceivedRequest, text: &str) -> bool {
    request.body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn all_pages_of_contributors_are_read() {
    let contributor = |id: &str, node: &str| {
        json!({
            "ContributorId": id,
            "ContributorAttributes": { "mesh": "shop", "target_virtual_node": node },
            "StateReason": "breaching",
            "StateTransitionedTimestamp": { "epoch": 1_795_169_040 },
        })
    };
    let server = CannedServer::start([
        ok(&json!({ "AlarmContributors": [contributor("c1", "v1")], "NextToken": "page-two" })),
        ok(&json!({ "AlarmContributors": [contributor("c2", "v2")] })),
    ])
    .await;
    let found = server.aws().await.alarms().contributors(&name("shop-5xx")).await.unwrap();
    let nodes: Vec<&str> = found.iter().map(|found| found.attributes["target_virtual_node"].as_str()).collect();
    assert_eq!(nodes, ["v1", "v2"]);
    assert_eq!(found[0].since.unwrap().as_second(), 1_795_169_040);
    let requests = server.requests();
    assert!(requests[0].uri.path().ends_with("/DescribeAlarmContributors"), "{}", requests[0].uri);
    assert!(body_contains(&requests[0], "shop-5xx") && body_contains(&requests[1], "page-two"));
}

#[tokio::test]
async fn active_mute_rules_are_read_with_their_alarms() {
    let rule = |name: &str, status: &str| {
        json!({
            "AlarmMuteRuleArn": format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm-mute-rule:{name}"),
            "Status": status,
        })
    };
    let targets = |names: &[&str]| json!({ "Status": "ACTIVE", "MuteTargets": { "AlarmNames": names } });
    let server = CannedServer::start([
        ok(&json!({ "AlarmMuteRuleSummaries": [rule("deploy", "ACTIVE"), rule("past", "EXPIRED")], "NextToken": "n" })),
        ok(&json!({ "AlarmMuteRuleSummaries": [rule("night", "ACTIVE")] })),
        ok(&targets(&["a", "b"])),
        ok(&json!({ "Status": "EXPIRED", "MuteTargets": { "AlarmNames": ["c"] } })),
    ])
    .await;
    let found = server.aws().await.alarms().active_mute_rules().await.unwrap();
    assert_eq!(found.len(), 1, "one ended between the list and its description: {found:?}");
    assert!(found[0].alarms.contains(&name("a")) && found[0].alarms.contains(&name("b")));
    let requests = server.requests();
    assert!(body_contains(&requests[0], "ACTIVE"), "only active ones are listed");
    assert_eq!(requests.len(), 4);
}

#[tokio::test]
async fn endpoint_without_mute_rules_is_a_permanent_error() {
    let unknown = json!({ "__type": "com.amazon.coral.service#UnknownOperationException", "message": "unknown" });
    let server = CannedServer::start([CannedResponse::cbor(404, &unknown)]).await;
    let error = server.aws().await.alarms().active_mute_rules().await.unwrap_err();
    assert!(!error.kind.may_heal(), "{error:?}");
    assert_ne!(error.kind, PortErrorKind::Throttled);
}

#[tokio::test]
async fn promql_alarm_and_evaluation_state_are_read() {
    let alarm = json!({
        "AlarmName": "shop-5xx",
        "AlarmArn": "arn:a",
        "StateValue": "OK",
        "EvaluationState": "EVALUATION_FAILURE",
        "AlarmActions": ["arn:aws:sns:eu-west-1:123456789012:t"],
        "EvaluationCriteria": { "PromQLCriteria": { "Query": "up == 0", "PendingPeriod": 60, "RecoveryPeriod": 90 } },
    });
    let server = CannedServer::start([ok(&json!({ "MetricAlarms": [alarm], "CompositeAlarms": [] }))]).await;
    let found = server.aws().await.alarms().by_name(&[name("shop-5xx")]).await.unwrap();
    let AlarmSource::PromQl(query) = &found[0].source else { panic!("{found:?}") };
    assert_eq!((query.query.as_str(), query.recovery_period), ("up == 0", Some(90)));
    assert_eq!(found[0].evaluation, Some(EvaluationState::EvaluationFailure));
    assert!(found[0].notifies("arn:aws:sns:eu-west-1:123456789012:t"));
}
