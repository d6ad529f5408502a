//! Stored state: unreadable records, and unsent notices.

use ports::{Note, StateStore as _};
use ports_memory::{Failure, Fault};
use rules::compliance::Topic;
use serde_json::{Value, json};

use crate::shop::{POLICY, Shop, V1, V2, decision, line};

async fn store(shop: &Shop, document: Value) {
    let note = Note { key: shop.key(), revision: 0, now: shop.now(), document, journal: None };
    shop.ports.state.note(&note).await.unwrap();
}

/// An unreadable record blocks every change, pages once, and is not overwritten; answers are still sent.
#[tokio::test(start_paused = true)]
async fn unreadable_record_holds_and_pages_once() {
    for (document, reason) in [
        (json!({ "told": 7 }), "RecordUnreadable"),
        (json!("?"), "RecordUnreadable"),
        (json!({ "format": 2, "told": {} }), "NewerFormat"),
    ] {
        let shop = Shop::new(Topic::Tags);
        shop.untag(&[V2]);
        store(&shop, document.clone()).await;
        let function = shop.start().await;
        for _ in 0..3 {
            let answer = function.sample("config-change").await.unwrap();
            assert_eq!(decision(&answer, V2)["reason"], reason);
            assert_eq!(line(&answer, "state of tag-compliance/shop")["reason"], reason);
            shop.wait(4);
        }
        assert_eq!(shop.evaluated()[V2].0, "NON_COMPLIANT", "{document}");
        assert_eq!((shop.owner(V2), shop.calls_of("begin")), (None, 0), "{document}");
        assert_eq!(shop.ports.state.stored(&shop.key()).unwrap().document, document, "the document is not overwritten");
        let sent = shop.ports.notifier.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert!(sent[0].body.contains("meshwarden forget tag-compliance/shop"), "{}", sent[0].body);
    }
}

/// An older version keeps the members that a newer version has added.
#[tokio::test(start_paused = true)]
async fn unknown_members_of_a_record_are_kept() {
    let shop = Shop::new(Topic::Tags);
    shop.untag(&[V2]);
    store(&shop, json!({ "told": {}, "added": { "by": "a newer version" } })).await;
    shop.start().await.sample("config-change").await.unwrap();
    assert_eq!(shop.owner(V2).as_deref(), Some("platform"));
    let document = shop.ports.state.stored(&shop.key()).unwrap().document;
    assert_eq!(document["added"]["by"], "a newer version", "{document}");
}

/// An unsent notice is sent once by the next invocation.
#[tokio::test(start_paused = true)]
async fn notice_survives_a_failure_of_sns() {
    for policy in [POLICY, "version: 1\ntags: {required: [{key: owner, inherit: false}]}\n"] {
        for failure in [Failure::Unavailable, Failure::Throttled, Failure::Denied] {
            let shop = Shop::with(Topic::Tags, policy);
            shop.untag(&[V2]);
            shop.ports.faults.once(|call| call.name == "notify", Fault::Fails(failure, ports_memory::Effect::NotDone));
            let answer = shop.start().await.scheduled_run().await.unwrap();
            let kept = answer["decisions"].as_array().unwrap().iter().find(|line| line["reason"] == "NotNotified");
            assert_eq!(kept.unwrap()["facts"]["owed"], 1, "{answer:#}");
            assert_eq!(shop.ports.notifier.sent().len(), 0);
            // Another process without any state in memory.
            for expected in [1, 1] {
                shop.start().await.later(15).await;
                assert_eq!(shop.ports.notifier.sent().len(), expected, "{failure:?}");
            }
            assert!(shop.ports.notifier.sent()[0].body.contains(V2), "{:?}", shop.ports.notifier.sent());
        }
    }
}

/// Waiting notices stay within their maximum, and arrive in order.
#[tokio::test(start_paused = true)]
async fn waiting_notices_stay_within_their_maximum() {
    let shop = Shop::with(Topic::Tags, "version: 1\ntags: {required: [{key: owner, inherit: false}]}\n");
    shop.breaks("notify", Failure::Denied);
    let function = shop.start().await;
    for round in 0..8 {
        if round % 2 == 0 {
            shop.untag(&[V2]);
        } else {
            shop.owns(V2, "platform");
        }
        function.later(5).await;
    }
    let owed = shop.ports.state.stored(&shop.key()).unwrap().document["owed"].as_array().unwrap().len();
    assert_eq!(owed, 5);
    shop.ports.faults.reset();
    function.later(5).await;
    let subjects: Vec<String> = shop.ports.notifier.sent().into_iter().map(|notice| notice.subject).collect();
    assert_eq!(subjects.len(), 5);
    assert!(subjects[4].contains("1 compliant again"), "{subjects:?}");
    assert!(shop.ports.state.stored(&shop.key()).unwrap().document.get("owed").is_none());
}

/// A repair is reported although neither SNS nor the state table was available after the change.
#[tokio::test(start_paused = true)]
async fn notice_survives_a_failure_of_sns_and_the_state_table() {
    for (topic, failing) in [(Topic::Tags, "note"), (Topic::Egress, "note"), (Topic::Tags, "finish")] {
        let shop = Shop::new(topic);
        match topic {
            Topic::Tags => shop.untag(&[V2]),
            Topic::Egress => shop.open_filter(),
        }
        for call in ["notify", failing, "note"] {
            shop.breaks(call, Failure::Unavailable);
        }
        shop.start().await.scheduled_run().await.unwrap();
        assert_eq!(shop.ports.notifier.sent().len(), 0);
        shop.ports.faults.reset();
        // Another process without any state in memory.
        for _ in 0..3 {
            shop.start().await.later(15).await;
        }
        let sent = shop.ports.notifier.sent();
        assert_eq!(sent.len(), 1, "{topic} {failing}: {sent:?}");
        assert!(sent[0].subject.contains("1 remediated"), "{topic} {failing}: {sent:?}");
        assert!(sent[0].body.contains("a repair of an earlier invocation is in place"), "{topic} {failing}: {sent:?}");
        let record = shop.ports.state.stored(&shop.key()).unwrap().document;
        assert_eq!(record.get("intents"), None, "{record}");
    }
}

/// Unpublished events are published once by the next invocation, and a lasting failure pages.
#[tokio::test(start_paused = true)]
async fn events_survive_a_failure_of_the_bus() {
    for failure in [Failure::Unavailable, Failure::Throttled, Failure::Denied] {
        let shop = Shop::new(Topic::Tags);
        shop.untag(&[V2]);
        shop.breaks("put events", failure);
        let answer = shop.start().await.scheduled_run().await.unwrap();
        let kept = answer["decisions"].as_array().unwrap().iter().find(|line| line["reason"] == "NotPublished");
        assert_eq!(kept.unwrap()["facts"]["owed"], 1, "{answer:#}");
        shop.start().await.later(15).await;
        assert_eq!(shop.ports.bus.events().len(), 0);
        assert_eq!(shop.pages().len(), 1, "{failure:?}: {:?}", shop.pages());
        assert!(shop.pages()[0].body.contains("the event bus"), "{:?}", shop.pages());
        shop.ports.faults.reset();
        for _ in 0..2 {
            shop.start().await.later(15).await;
        }
        let events = shop.ports.bus.events();
        assert_eq!(events.len(), 1, "{failure:?}: {events:?}");
        assert_eq!(events[0].detail["decision"]["resource"], V2);
        assert_eq!(shop.pages().len(), 1, "{failure:?}");
    }
}

/// Repairs that wait for the budget for hours cause one page.
#[tokio::test(start_paused = true)]
async fn budget_spent_for_hours_pages_once() {
    let shop = Shop::with(Topic::Tags, &POLICY.replace("}]}\n", "}], budget: {changes: 0, window: 1h}}\n"));
    shop.untag(&[V1, V2]);
    for round in 0..20 {
        let answer = shop.start().await.later(15).await;
        assert_eq!(decision(&answer, V2)["reason"], "BudgetSpent");
        assert_eq!(shop.pages().len(), usize::from(round > 12), "{round}: {:?}", shop.pages());
    }
    let page = &shop.pages()[0];
    assert!(page.subject.contains("NoProgress 2 resources, first "), "{page:?}");
    assert!(page.body.contains(V1) && page.body.contains(V2), "{page:?}");
}
