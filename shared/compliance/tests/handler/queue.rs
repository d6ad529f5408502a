//! Batches of a queue: only the messages that a failure affects are retried.

use std::time::Duration;

use ports::Deadline;
use ports_memory::{Call, Effect, Failure, Fault};
use rules::compliance::Topic;
use serde_json::{Value, json};

use crate::shop::{Shop, V1, V2, arn};

/// A batch of these events as messages `m0`, `m1` and so on.
fn batch(events: &[Value]) -> Value {
    let record = |(number, event): (usize, &Value)| json!({ "eventSource": "aws:sqs", "messageId": format!("m{number}"), "body": event.to_string() });
    json!({ "Records": events.iter().enumerate().map(record).collect::<Vec<_>>() })
}

fn change(shop: &Shop, path: &str) -> Value {
    serde_json::from_str(&shop.event("config-change").to_string().replace(V2, path)).unwrap()
}

fn write(shop: &Shop, mesh: &str) -> Value {
    let text = shop.event("control-plane-tag-resource").to_string();
    serde_json::from_str(&text.replace("mesh/shop", &format!("mesh/{mesh}"))).unwrap()
}

fn failed(answer: &Value) -> Vec<&str> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect()
}

fn shop() -> Shop {
    let shop = Shop::new(Topic::Tags);
    for name in ["bank", "club"] {
        shop.put(&format!("mesh/{name}"), &json!({}));
        shop.owns(&format!("mesh/{name}"), "platform");
    }
    shop
}

/// One of several meshes fails: its messages are retried, and the others are repaired and answered.
#[tokio::test(start_paused = true)]
async fn only_messages_of_the_failed_mesh_are_retried() {
    for (failure, comes_again) in [(Failure::Throttled, true), (Failure::Unavailable, true), (Failure::Denied, false)] {
        let shop = shop();
        shop.untag(&[V1, V2]);
        let of_bank = |call: &Call| call.subject.ends_with("mesh/bank");
        shop.ports.faults.whenever(of_bank, Fault::Fails(failure, Effect::NotDone));
        let events = [
            change(&shop, V1),
            write(&shop, "bank"),
            change(&shop, V2),
            change(&shop, "mesh/bank"),
            write(&shop, "club"),
        ];
        let answer = shop.start().await.answer(&batch(&events)).await.unwrap();
        let expected = if comes_again { vec!["m1", "m3"] } else { vec![] };
        assert_eq!(failed(&answer), expected, "{failure:?}");
        assert_eq!(shop.evaluated().keys().collect::<Vec<_>>(), [V1, V2], "{failure:?}");
        assert_eq!((shop.owner(V1).as_deref(), shop.owner(V2).as_deref()), (Some("platform"), Some("platform")));
    }
}

/// A request for all resources is retried if any mesh fails.
#[tokio::test(start_paused = true)]
async fn request_for_all_resources_is_retried_with_any_failed_mesh() {
    let shop = shop();
    shop.ports
        .faults
        .whenever(|call| call.subject.ends_with("mesh/bank"), Fault::Fails(Failure::Throttled, Effect::NotDone));
    let events = [change(&shop, V1), shop.event("config-scheduled"), shop.event("tick-rule")];
    let answer = shop.start().await.answer(&batch(&events)).await.unwrap();
    assert_eq!(failed(&answer), ["m1", "m2"]);
}

/// A failed write affects only the messages about its resource.
#[tokio::test(start_paused = true)]
async fn failed_repair_retries_only_the_messages_about_its_resource() {
    let shop = shop();
    shop.untag(&[V1, V2]);
    let of_v1 = |call: &Call| call.name == "tag" && call.subject == arn(V1);
    shop.ports.faults.whenever(of_v1, Fault::Fails(Failure::Throttled, Effect::NotDone));
    let events = [change(&shop, V1), change(&shop, V2)];
    let answer = shop.start().await.answer(&batch(&events)).await.unwrap();
    assert_eq!(failed(&answer), ["m0"]);
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
}

/// An item is too large to be included, and the read of its history is throttled. AWS Config gets no answer, and only
/// the message of the item is retried.
#[tokio::test(start_paused = true)]
async fn throttled_history_retries_only_the_oversized_item() {
    let shop = shop();
    shop.breaks("read newest item of", Failure::Throttled);
    let oversized = serde_json::from_str(&shop.event("config-oversized").to_string().replace(V2, V1)).unwrap();
    let events = [change(&shop, V2), oversized];
    let function = shop.start().await;
    let answer = function.answer(&batch(&events)).await.unwrap();
    assert_eq!(failed(&answer), ["m1"]);
    assert_eq!(shop.evaluated().keys().collect::<Vec<_>>(), [V2]);
    assert_eq!(shop.pages().len(), 0, "the failure may be transient");
    shop.ports.faults.reset();
    function.answer(&batch(&events[1..])).await.unwrap();
    assert_eq!(shop.evaluated()[V1].0, "COMPLIANT");
}

/// An answer that AWS Config rejects once is sent again in the same invocation. After a lasting failure, its message
/// is retried.
#[tokio::test(start_paused = true)]
async fn failed_answer_retries_only_its_message() {
    let shop = shop();
    let resource = |path: &str| ports::ConfigResource {
        resource_type: "AWS::AppMesh::VirtualNode".into(),
        resource_id: arn(path),
    };
    shop.ports.config.refuse_times(resource(V2), 1);
    let events = [change(&shop, V1), change(&shop, V2)];
    let answer = shop.start().await.answer(&batch(&events)).await.unwrap();
    assert_eq!((failed(&answer), shop.evaluated().len()), (vec![], 2));

    shop.ports.config.refuse(resource(V2));
    let answer = shop.start().await.answer(&batch(&events)).await.unwrap();
    assert_eq!(failed(&answer), ["m1"]);
}

/// Messages that were finished before the time ran out are not retried.
#[tokio::test(start_paused = true)]
async fn messages_finished_in_time_are_not_retried() {
    let shop = shop();
    shop.untag(&[V2]);
    shop.ports
        .faults
        .once(|call| call.name == "tag" && call.subject == arn(V2), Fault::Waits(ports_memory::Gate::default()));
    let events = [change(&shop, "mesh/bank"), change(&shop, V2)];
    let deadline = Deadline::after(Duration::from_secs(20));
    let answer = shop.start().await.answer_by(&batch(&events), deadline).await.unwrap();
    assert_eq!(failed(&answer), ["m1"]);
    assert_eq!(shop.evaluated().len(), 2, "both are answered before any change");
}
