//! Conflicts, the kill switch, the budget, the time, and documents that cannot be read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ports::{KillSwitch, Note, StateStore as _};
use ports_memory::{Effect, Failure, Fault};
use serde_json::json;

use crate::toy::{RESOURCES, Shop, WANTED, failed, key};

const V1: &str = RESOURCES[0].1;
const ROUTER: &str = RESOURCES[2].1;

#[tokio::test(start_paused = true)]
async fn superseded_resources_are_decided_three_times_and_then_retried() {
    for (conflicts, owned, again, begins) in [(0, true, &[][..], 1), (2, true, &[], 3), (3, false, &["routers"], 3)] {
        let shop = Shop::new();
        shop.conflicts.store(conflicts, Ordering::SeqCst);
        let answer = shop.start().await.answer(&["routers"]).await.unwrap();
        assert_eq!(shop.owner(ROUTER).is_some(), owned, "{conflicts}");
        assert_eq!(failed(&answer), again.iter().map(|group| (*group).to_owned()).collect(), "{conflicts}");
        assert_eq!(shop.calls_of("begin"), begins, "{conflicts}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_superseded_resource_is_decided_again() {
    let shop = Shop::new();
    shop.conflicts.store(1, Ordering::SeqCst);
    shop.start().await.answer(&["nodes"]).await.unwrap();
    assert_eq!((shop.calls_of("begin"), shop.calls_of("tag")), (3, 2));
    assert_eq!(shop.notices("virtualNode").len(), 2, "each once");
}

#[tokio::test(start_paused = true)]
async fn throttled_step_is_retried_by_the_queue_and_charged_once() {
    let shop = Shop::new();
    shop.ports.faults.once(|call| call.name == "tag", Fault::Fails(Failure::Throttled, Effect::NotDone));
    let process = shop.start().await;
    let answer = process.answer(&["nodes", "routers"]).await.unwrap();
    assert_eq!(failed(&answer), ["nodes".to_owned()].into(), "the other message is accepted");
    assert_eq!(shop.owner(ROUTER).as_deref(), Some(WANTED));
    let answer = process.answer(&["nodes"]).await.unwrap();
    assert!(failed(&answer).is_empty());
    assert_eq!((shop.owner(V1).as_deref(), shop.spent()), (Some(WANTED), 3));
}

#[tokio::test(start_paused = true)]
async fn denied_step_is_not_retried() {
    let shop = Shop::new();
    shop.ports.faults.whenever(|call| call.name == "tag", Fault::Fails(Failure::Denied, Effect::NotDone));
    let answer = shop.start().await.answer(&["nodes", "routers"]).await.unwrap();
    assert!(failed(&answer).is_empty(), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn spent_budget_halts_the_plans_of_its_document() {
    let mut shop = Shop::new();
    shop.budget = 1;
    shop.start().await.answer(&["nodes"]).await.unwrap();
    assert_eq!((shop.calls_of("begin"), shop.calls_of("tag"), shop.spent()), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn kill_switch_stops_every_change_and_is_counted() {
    let shop = Shop::new();
    let now = shop.now();
    shop.ports.state.turn_kill_switch(Some(KillSwitch { by: "ann".into(), reason: "incident".into(), at: now }));
    shop.start().await.answer(&["nodes"]).await.unwrap();
    assert_eq!((shop.calls_of("begin"), shop.calls_of("tag")), (0, 0));
    assert_eq!(shop.metric("KillSwitchOn"), Some(json!(1)));
}

#[tokio::test(start_paused = true)]
async fn run_without_any_policy_changes_nothing_until_the_policy_is_loaded() {
    let shop = Shop::new();
    shop.policy_faults.whenever(|_| true, Fault::Fails(Failure::Unavailable, Effect::NotDone));
    let process = shop.start().await;
    let answer = process.answer(&["nodes"]).await.unwrap();
    assert_eq!(failed(&answer), ["nodes".to_owned()].into());
    assert_eq!((shop.metric("PolicyUnavailable"), shop.metric("Invocations")), (Some(json!(1)), Some(json!(0))));
    assert_eq!((shop.calls_of("begin"), shop.owner(V1)), (0, None));
    shop.policy_faults.reset();
    let answer = process.answer(&["nodes"]).await.unwrap();
    assert!(failed(&answer).is_empty(), "{answer}");
    assert_eq!(shop.owner(V1).as_deref(), Some(WANTED));
}

/// The lines of finished work are reported, and only the message with unfinished work is delivered again.
#[tokio::test(start_paused = true)]
async fn work_that_ran_out_of_time_is_delivered_again_and_the_rest_is_reported() {
    let shop = Shop::new();
    let process = shop.start().await;
    // The router's document takes eight calls; the nodes' first call never ends.
    let is_node = |call: &ports_memory::Call| call.name == "list tags of" && call.subject.contains("virtualNode");
    shop.ports.faults.once(is_node, Fault::Waits(ports_memory::Gate::default()));
    let answer = process.answer_within(&["routers", "nodes"], Duration::from_secs(30)).await.unwrap();
    assert_eq!(failed(&answer), ["nodes".to_owned()].into());
    assert_eq!(shop.owner(ROUTER).as_deref(), Some(WANTED));
    assert_eq!(shop.metric("Decisions"), Some(json!(1)), "the line of the router");
}

#[tokio::test(start_paused = true)]
async fn without_time_for_a_change_none_begins() {
    let shop = Shop::new();
    shop.start().await.answer_within(&["nodes"], Duration::from_secs(2)).await.unwrap();
    assert_eq!((shop.calls_of("begin"), shop.notices("").len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn unreadable_document_is_never_overwritten() {
    let shop = Shop::new();
    let document = json!({ "intents": 7 });
    let note = Note { key: key("nodes"), revision: 0, now: shop.now(), document: document.clone(), journal: None };
    shop.ports.state.note(&note).await.unwrap();
    shop.start().await.answer(&["nodes"]).await.unwrap();
    assert_eq!(shop.document("nodes"), Some(document));
    assert_eq!((shop.calls_of("begin"), shop.calls_of("tag"), shop.notices("").len()), (0, 0, 0));
}

/// A page that cannot be stored is withheld, and counted.
#[tokio::test(start_paused = true)]
async fn page_that_cannot_be_stored_is_withheld_and_sent_by_the_next_run() {
    let shop = Shop::new();
    shop.ports.faults.whenever(|call| call.name == "note", Fault::Fails(Failure::Unavailable, Effect::NotDone));
    let process = shop.start().await;
    process.answer(&["routers"]).await.unwrap();
    assert_eq!((shop.notices(ROUTER).len(), shop.metric("PagesWithheld")), (0, Some(json!(1))));
    shop.ports.faults.reset();
    process.answer(&["routers"]).await.unwrap();
    assert_eq!(shop.notices(ROUTER).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unsent_messages_wait_in_the_document() {
    let shop = Shop::new();
    shop.ports.faults.once(|call| call.name == "notify", Fault::Fails(Failure::Unavailable, Effect::NotDone));
    let process = shop.start().await;
    process.answer(&["routers"]).await.unwrap();
    let waiting = |shop: &Shop| shop.document("routers").unwrap()["notices"].as_array().unwrap().len();
    assert_eq!((shop.notices(ROUTER).len(), waiting(&shop)), (0, 1));
    process.answer(&["routers"]).await.unwrap();
    assert_eq!((shop.notices(ROUTER).len(), waiting(&shop)), (1, 0));
}
