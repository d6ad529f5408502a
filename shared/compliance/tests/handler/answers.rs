//! Every message of AWS Config leads to the correct evaluations.

use ports::{ConfigItem, ConfigResource, ItemStatus};
use ports_memory::Failure;
use rules::compliance::Topic;
use serde_json::{Value, json};

use crate::shop::{ALL, MESH, POLICY, Shop, V2, arn, decision, line};

const OBSERVE: &str = "version: 1\ntags: {required: [{key: owner}]}\n";

fn shop() -> Shop {
    let shop = Shop::with(Topic::Tags, OBSERVE);
    shop.untag(&[V2]);
    shop
}

async fn evaluate(shop: &Shop, event: &str) -> (Value, Vec<(String, String)>) {
    let answer = shop.start().await.sample(event).await.unwrap();
    let evaluated = shop.evaluated().into_iter().map(|(path, (compliance, _))| (path, compliance)).collect();
    (answer, evaluated)
}

fn only(path: &str, compliance: &str) -> Vec<(String, String)> {
    vec![(path.to_owned(), compliance.to_owned())]
}

#[tokio::test(start_paused = true)]
async fn change_is_answered_with_the_time_of_its_item_and_the_findings() {
    let shop = shop();
    let (answer, evaluated) = evaluate(&shop, "config-change").await;
    assert_eq!(evaluated, only(V2, "NON_COMPLIANT"));
    let (token, evaluation) = shop.ports.config.answers().remove(0);
    assert_eq!(token, "eyJlbmNyeXB0ZWREYXRhIjpbLTQyLDEyXX0=");
    assert_eq!(evaluation.at, "2026-11-20T10:03:50.512Z".parse().unwrap());
    let expected = "tag-missing: it lacks the tag `owner`; mesh/shop/virtualService/recommendations.shop.local has the value `platform`";
    assert_eq!(evaluation.annotation.as_str(), expected);
    let line = line(&answer, &arn(V2));
    assert_eq!(
        (&line["reason"], &line["facts"]["evaluation"]["compliance"]),
        (&json!("Evaluated"), &json!("NON_COMPLIANT"))
    );
    assert_eq!(decision(&answer, V2)["outcome"]["outcome"], "WouldApply");
}

#[tokio::test(start_paused = true)]
async fn deleted_out_of_scope_and_unrelated_resources_are_not_applicable_without_a_read() {
    for (event, resource) in [
        ("config-deleted", V2),
        ("config-left-scope", V2),
        ("config-certificate", "arn:aws:acm:eu-west-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"),
    ] {
        let shop = shop();
        let (_, evaluated) = evaluate(&shop, event).await;
        assert_eq!(evaluated, only(resource, "NOT_APPLICABLE"), "{event}");
        assert_eq!(shop.ports.faults.calls().len(), 1, "{event}: {:?}", shop.ports.faults.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn oversized_item_is_read_from_the_history() {
    let resource = ConfigResource { resource_type: "AWS::AppMesh::VirtualNode".into(), resource_id: arn(V2) };
    let item = |status, at: &str| ConfigItem::new(resource.clone(), None, status, at.parse().unwrap());
    // Without a recorded item, the summary identifies the resource.
    let (_, evaluated) = evaluate(&shop(), "config-oversized").await;
    assert_eq!(evaluated, only(V2, "NON_COMPLIANT"));
    for (status, at, expected, time) in [
        (ItemStatus::Ok, "2026-11-20T10:03:55Z", "NON_COMPLIANT", "2026-11-20T10:03:55Z"),
        (ItemStatus::ResourceDeleted, "2026-11-20T10:03:55Z", "NOT_APPLICABLE", "2026-11-20T10:03:55Z"),
        // The recorded item is older than the notification.
        (ItemStatus::ResourceDeleted, "2026-11-20T09:00:00Z", "NON_COMPLIANT", "2026-11-20T10:03:50.512Z"),
    ] {
        let shop = shop();
        shop.ports.config.record(item(status, at));
        let (_, evaluated) = evaluate(&shop, "config-oversized").await;
        assert_eq!(evaluated, only(V2, expected));
        assert_eq!(shop.ports.config.answers()[0].1.at, time.parse().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn schedule_or_snapshot_is_answered_for_all_resources() {
    for event in ["config-scheduled", "config-snapshot-delivered"] {
        let shop = shop();
        let (answer, evaluated) = evaluate(&shop, event).await;
        let expected: Vec<_> = ALL
            .iter()
            .map(|path| (*path, if *path == V2 { "NON_COMPLIANT" } else { "COMPLIANT" }))
            .map(|(path, compliance)| (path.to_owned(), compliance.to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .collect();
        assert_eq!(evaluated, expected, "{event}");
        let line = line(&answer, "rule/meshwarden-tags");
        assert_eq!((&line["facts"]["compliant"], &line["facts"]["nonCompliant"]), (&json!(9), &json!(1)));
        let (_, evaluation) = &shop.ports.config.answers()[0];
        assert_eq!(evaluation.at, "2026-11-20T10:03:58.101Z".parse().unwrap(), "the time of the request");
    }
}

#[tokio::test(start_paused = true)]
async fn many_meshes_are_answered_by_one_call() {
    let shop = shop();
    for n in 0..30 {
        shop.put(&format!("mesh/m{n}"), &json!({}));
    }
    shop.start().await.sample("config-scheduled").await.unwrap();
    assert_eq!(shop.ports.config.answers().len(), 40);
    assert_eq!(shop.calls_of("put evaluations"), 1);
}

#[tokio::test(start_paused = true)]
async fn test_mode_is_answered_in_test_mode() {
    let (answer, evaluated) = evaluate(&shop(), "config-test-mode").await;
    assert_eq!(evaluated, [], "no evaluation is stored");
    assert_eq!(line(&answer, &arn(V2))["reason"], "Evaluated");
}

#[tokio::test(start_paused = true)]
async fn notification_without_a_rule_is_not_answered() {
    for event in ["eventbridge-config-change", "sns-config-change", "cloudtrail-create-virtual-node", "tick-rule"] {
        let shop = shop();
        let (answer, evaluated) = evaluate(&shop, event).await;
        assert_eq!(evaluated, [], "{event}");
        assert_eq!(shop.calls_of("put evaluations"), 0, "{event}");
        assert_eq!(decision(&answer, V2)["outcome"]["outcome"], "WouldApply", "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_write_retries_its_message() {
    for event in ["cloudtrail-untag-resource", "control-plane-tag-resource", "sns-cloudtrail"] {
        let shop = Shop::new(Topic::Tags);
        shop.untag(&[V2]);
        shop.start().await.sample(event).await.unwrap();
        assert_eq!(shop.owner(V2).as_deref(), Some("platform"), "{event}");
    }
    let shop = shop();
    let answer = shop.start().await.sample("cloudtrail-denied").await.unwrap();
    assert_eq!(answer["decisions"][0]["reason"], "NothingChanged");
    assert_eq!(shop.ports.faults.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn batch_is_answered_message_by_message() {
    let shop = shop();
    let answer = shop.start().await.sample("sqs-mesh-writes").await.unwrap();
    let unreadable = "2e1424d4-f796-459a-8184-9c92662be603";
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": unreadable }] }));
    let answer = shop.start().await.sample("sqs-config-rule").await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert_eq!(shop.evaluated()[V2].0, "NON_COMPLIANT");
    shop.breaks("put evaluations", Failure::Throttled);
    let answer = shop.start().await.sample("sqs-config-rule").await.unwrap();
    assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_event_of_egress_is_answered() {
    for (event, path, expected) in [
        ("config-change-mesh", MESH, "NON_COMPLIANT"),
        ("config-change-node", V2, "COMPLIANT"),
        ("config-oversized", V2, "COMPLIANT"),
        ("config-deleted", MESH, "NOT_APPLICABLE"),
    ] {
        let shop = Shop::with(Topic::Egress, OBSERVE);
        shop.open_filter();
        let (_, evaluated) = evaluate(&shop, event).await;
        assert_eq!(evaluated, only(path, expected), "{event}");
    }
    let shop = Shop::with(Topic::Egress, OBSERVE);
    shop.open_filter();
    shop.start().await.sample("sqs-config-rule").await.unwrap();
    assert_eq!(shop.evaluated().len(), 2);
    let answer = shop.start().await.sample("control-plane-delete-virtual-service").await.unwrap();
    assert_eq!(decision(&answer, MESH)["outcome"]["outcome"], "WouldApply");
}

#[tokio::test(start_paused = true)]
async fn missing_resource_is_not_applicable() {
    let shop = shop();
    shop.ports.mesh.remove(&V2.parse().unwrap());
    let (_, evaluated) = evaluate(&shop, "config-change").await;
    assert_eq!(evaluated, only(V2, "NOT_APPLICABLE"));
}

/// Any answer would be false: AWS Config rejects `INSUFFICIENT_DATA`.
#[tokio::test(start_paused = true)]
async fn unknown_compliance_is_not_answered() {
    // A missing mesh allows no conclusion about its resources, which may be in another account.
    let shop = Shop::with(Topic::Tags, POLICY);
    for path in ALL {
        shop.ports.mesh.remove(&path.parse().unwrap());
    }
    let (answer, evaluated) = evaluate(&shop, "config-change").await;
    assert_eq!(evaluated, []);
    assert_eq!(line(&answer, MESH)["reason"], "NotThere");
    assert_eq!(line(&answer, &arn(V2))["reason"], "Unknown");
    assert_eq!(shop.pages().len(), 0, "a deleted mesh does not page");

    // A mesh of the same name elsewhere.
    let shop = Shop::with(Topic::Tags, POLICY);
    let event = shop.event("config-change").to_string().replace("123456789012:mesh", "210987654321:mesh");
    let answer = shop.start().await.answer(&serde_json::from_str(&event).unwrap()).await.unwrap();
    assert_eq!(shop.evaluated().len(), 0);
    let other = arn(V2).replace("123456789012", "210987654321");
    assert_eq!(line(&answer, &other)["reason"], "OtherMesh");

    // An invocation that may not read the mesh fails, and pages at once since a retry cannot succeed.
    for (call, failure, fails, pages) in [
        ("describe", Failure::Denied, true, 1),
        ("list tags of", Failure::Denied, false, 1),
        ("describe", Failure::Unavailable, true, 0),
        ("list tags of", Failure::TimedOut, true, 0),
        ("list tags of", Failure::Throttled, true, 0),
        ("list", Failure::Throttled, true, 0),
        ("list", Failure::Denied, true, 1),
    ] {
        let shop = Shop::with(Topic::Tags, POLICY);
        shop.breaks(call, failure);
        let answer = shop.start().await.sample("config-change").await;
        assert_eq!(answer.is_err(), fails, "{call} {failure:?}: {answer:?}");
        assert_eq!(shop.evaluated().len(), 0, "{call} {failure:?}");
        assert_eq!(shop.pages().len(), pages, "{call} {failure:?}: {:?}", shop.pages());
    }
}

/// An item with a null ARN has the kind of its resource type, and is identified by its history.
#[tokio::test(start_paused = true)]
async fn item_without_arn_keeps_the_kind_of_its_type() {
    let nameless = |shop: &Shop, event: &str| -> Value {
        let mut event = shop.event(event);
        let mut message: Value = serde_json::from_str(event["invokingEvent"].as_str().unwrap()).unwrap();
        let member =
            if message.get("configurationItem").is_some() { "configurationItem" } else { "configurationItemSummary" };
        message[member]["ARN"] = Value::Null;
        message[member]["resourceId"] = json!("recommendations-v2");
        event["invokingEvent"] = json!(message.to_string());
        event
    };
    for event in ["config-change", "config-oversized"] {
        let shop = shop();
        let answer = shop.start().await.answer(&nameless(&shop, event)).await.unwrap();
        assert_eq!(
            (shop.evaluated().len(), &line(&answer, "recommendations-v2")["reason"]),
            (0, &json!("WithoutArn")),
            "{event}"
        );

        let resource = ConfigResource {
            resource_type: "AWS::AppMesh::VirtualNode".into(),
            resource_id: "recommendations-v2".into(),
        };
        let at = "2026-11-20T10:03:55Z".parse().unwrap();
        shop.ports.config.record(ConfigItem::new(resource, Some(&arn(V2)), ItemStatus::Ok, at));
        shop.start().await.answer(&nameless(&shop, event)).await.unwrap();
        assert_eq!(shop.evaluated()["recommendations-v2"].0, "NON_COMPLIANT", "{event}");
    }
    // For a kind that the topic has no rule for, the type is sufficient.
    let shop = Shop::with(Topic::Egress, OBSERVE);
    let event =
        nameless(&shop, "config-change-node").to_string().replace("AWS::AppMesh::VirtualNode", "AWS::AppMesh::Route");
    shop.start().await.answer(&serde_json::from_str(&event).unwrap()).await.unwrap();
    assert_eq!(shop.evaluated()["recommendations-v2"].0, "NOT_APPLICABLE");
}
