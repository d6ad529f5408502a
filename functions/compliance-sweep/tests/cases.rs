//! Tags that the role may not list, and a queue with broken messages.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use meshwarden_tests::disturbed::Scene as _;
use meshwarden_tests::faults::Fault;
use meshwarden_tests::mixed_batch;
use meshwarden_tests::shop_scene::Shops;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_compliance-sweep");

/// Longer than all attempts of a call.
const FOR_LONG: usize = 10_000;

/// The request for a sweep of a mesh.
fn sweep_of(mesh: &str) -> Value {
    json!({ "version": "0", "id": mesh, "detail-type": "Meshwarden Sweep Requested", "source": "meshwarden",
        "account": "123456789012", "time": "2026-11-21T06:00:00Z", "region": "eu-west-1", "resources": [],
        "detail": { "mesh": mesh } })
}

fn line<'a>(answer: &'a Value, reason: &str) -> Option<&'a Value> {
    answer["decisions"].as_array().unwrap().iter().find(|line| line["reason"] == reason)
}

/// 90 and 47b: only the resource with the unlistable tags is unknown.
#[tokio::test]
async fn resource_with_unlistable_tags_is_unknown() {
    let Some(shops) = Shops::open("compliance-sweep", BINARY, "schedule").await else { return };
    let scene = shops.set("tags-denied").await;
    let mut function = scene.build().start().await;
    scene.way().answer_as_aws();
    scene.way().inject_next("virtualNode%2Fcart-v1", Fault::Denied, FOR_LONG);
    let answer = function.answer(&scene.event()).await.unwrap();
    assert!(!scene.way().happened().is_empty());
    let unknown = line(&answer, "PartlyRead").unwrap().to_string();
    assert!(unknown.contains("cart-v1") && !unknown.contains("cart-v2"), "{unknown}");
    let swept = line(&answer, "Changed").unwrap_or_else(|| panic!("{answer:#}"));
    assert!(swept["facts"]["newCount"].as_u64().unwrap() > 0, "the others are judged: {swept:#}");
    let pages = scene.way().pages();
    assert_eq!(pages.len(), 1, "{pages:?}");
}

/// 04: broken messages are delivered again and reach the dead-letter queue, and the others are swept.
#[tokio::test]
async fn broken_messages_are_delivered_again_and_the_others_are_swept() {
    let Some(shops) = Shops::open("compliance-sweep", BINARY, "schedule").await else { return };
    let scene = shops.set("broken-messages").await;
    let mut function = scene.build().start().await;
    let good = sweep_of("shop").to_string();
    let half = good.get(..good.len() / 2).unwrap();
    let bodies = [("half", half), ("good", good.as_str()), ("text", "hello world"), ("empty", "")];
    let record = |(id, body): (&str, &str)| json!({ "messageId": id, "body": body, "eventSource": "aws:sqs" });
    let answer = function.answer(&json!({ "Records": bodies.map(record) })).await.unwrap();
    let failures = answer["batchItemFailures"].as_array().unwrap().iter();
    let mut failed: Vec<&str> = failures.filter_map(|one| one["itemIdentifier"].as_str()).collect();
    failed.sort_unstable();
    assert_eq!(failed, ["empty", "half", "text"], "{answer:#}");
    let again = function.answer(&scene.event()).await.unwrap();
    assert!(line(&again, "Unchanged").is_some(), "swept by the good message: {again:#}");
}

/// Further cases of 90 and 47b: resources of another kind, and several resources.
#[tokio::test]
async fn only_resources_with_unlistable_tags_are_unknown() {
    let Some(shops) = Shops::open("compliance-sweep", BINARY, "schedule").await else { return };
    for (name, denied, known) in [
        ("router", &["virtualRouter%2Fcart"][..], &["cart-v1", "cart-v2"][..]),
        ("nodes", &["virtualNode%2Fcart-v1", "virtualNode%2Fcart-v2"], &["virtualRouter"]),
    ] {
        let scene = shops.set(&format!("tags-denied-{name}")).await;
        let mut function = scene.build().start().await;
        scene.way().answer_as_aws();
        for part in denied {
            scene.way().inject_next(part, Fault::Denied, FOR_LONG);
        }
        let answer = function.answer(&scene.event()).await.unwrap();
        let unknown = line(&answer, "PartlyRead").unwrap()["facts"].to_string();
        for part in denied {
            assert!(unknown.contains(&part.replace("%2F", "/")), "{name}: {unknown}");
        }
        assert!(known.iter().all(|part| !unknown.contains(part)), "{name}: {unknown}");
        assert!(line(&answer, "Changed").is_some(), "{name}: the others are judged: {answer:#}");
        assert_eq!(scene.way().pages().len(), 1, "{name}: {:?}", scene.way().pages());
    }
}

/// 50: if one mesh of a batch fails, only its message is delivered again.
#[tokio::test]
async fn only_the_message_of_the_failing_mesh_is_delivered_again() {
    let Some(shops) = Shops::open("compliance-sweep", BINARY, "schedule").await else { return };
    for fault in mixed_batch::FAULTS {
        let scene = shops.set(&format!("mixed-batch-{fault:?}").to_lowercase()).await;
        let mut function = scene.build().start().await;
        mixed_batch::check(&mut function, scene.way(), fault, sweep_of).await;
    }
}
