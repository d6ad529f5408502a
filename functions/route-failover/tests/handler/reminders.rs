//! Conditions that an operator has to resolve although no node fails, and the records of nodes without routes.

use mesh::alarm::AlarmState;
use mesh::name::{ResourcePath, VirtualServiceName};
use ports::{Note, StateKey, StateStore as _};
use serde_json::json;

use crate::alarms::{alarm, errors_of, on_nothing};
use crate::shop::{BEFORE, POLICY, Shop, alarm_event, errors_event, mesh, node};

fn reminding(more: &str) -> Shop {
    Shop::with(&format!("{POLICY}failover: {{paging: {{remindAfter: 1h}}{more}}}\n"))
}

#[tokio::test(start_paused = true)]
async fn drained_node_without_an_alarm_pages_at_once_and_then_daily() {
    let shop = reminding("");
    let function = shop.start().await;
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    shop.ports.alarms.remove(&errors_of("cart-v1"));
    for (minutes, pages) in [(1, 1), (58, 1), (2, 2), (58, 2)] {
        function.minutes(minutes).await;
        assert_eq!(shop.pages().len(), pages);
    }
    assert!(shop.pages()[0].subject.contains("NoVerdict"), "{}", shop.pages()[0].subject);
}

#[tokio::test(start_paused = true)]
async fn node_that_was_drained_too_often_is_paged() {
    let shop = reminding(", flaps: {limit: 1, window: 4h}");
    let function = shop.start().await;
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    shop.recovers("cart-v1");
    function.minutes(4).await;
    assert_eq!(shop.pages(), [], "a node in its dwell does not page");
    function.minutes(10).await;
    assert_eq!(shop.pages().len(), 1);
    assert!(shop.pages()[0].subject.contains("FlapBudget"), "{}", shop.pages()[0].subject);
}

#[tokio::test(start_paused = true)]
async fn node_that_stays_unproven_pages_after_the_reminder_interval() {
    let shop = reminding("");
    let function = shop.start().await;
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    shop.ports.alarms.set_state(&errors_of("cart-v1"), AlarmState::Ok, shop.now());
    function.minutes(60).await;
    assert_eq!((shop.weights("cart"), shop.pages().len()), (vec![5, 95], 0));
    function.minutes(10).await;
    assert_eq!(shop.pages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn node_without_a_route_is_journalled_and_its_notification_is_stored() {
    let shop = Shop::open();
    shop.add_node("images-v1", "http");
    let service = VirtualServiceName::parse("images.shop.local").unwrap();
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "images-v1" } } });
    shop.put(&ResourcePath::VirtualService(mesh(), service), &provider);
    shop.fails("images-v1");
    shop.start().await.answer(&errors_event("images-v1")).await.unwrap();
    let key = StateKey::node(&mesh(), &node("images-v1"));
    let journal = shop.ports.state.journal_of(&key);
    assert_eq!((journal.len(), &journal[0].body["reason"]), (1, &json!("NoRoute")));
    assert_eq!(journal[0].body["observed"]["facts"]["mesh"], "shop");
    assert_eq!(shop.pages().len(), 1);

    let function = shop.start().await;
    function.minutes(10).await;
    assert_eq!((shop.pages().len(), shop.ports.state.journal_of(&key).len()), (1, 1));

    // The next failure is reported again.
    shop.recovers("images-v1");
    function.minutes(1).await;
    shop.fails("images-v1");
    function.minutes(1).await;
    assert_eq!((shop.pages().len(), shop.ports.state.journal_of(&key).len()), (2, 2));
}

/// A newer version stored the node's document and was rolled back: the document stays, and each process pages once.
#[tokio::test(start_paused = true)]
async fn document_of_a_node_in_a_newer_format_is_not_overwritten() {
    let shop = Shop::open();
    shop.add_node("images-v1", "http");
    let service = VirtualServiceName::parse("images.shop.local").unwrap();
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "images-v1" } } });
    shop.put(&ResourcePath::VirtualService(mesh(), service), &provider);
    let key = StateKey::node(&mesh(), &node("images-v1"));
    let document = json!({ "format": 2, "state": null });
    let note = Note { key: key.clone(), revision: 0, now: shop.now(), document: document.clone(), journal: None };
    shop.ports.state.note(&note).await.unwrap();
    shop.fails("images-v1");
    let function = shop.start().await;
    function.answer(&errors_event("images-v1")).await.unwrap();
    function.minutes(10).await;
    assert_eq!(shop.ports.state.stored(&key).unwrap().document, document);
    assert_eq!(shop.pages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn alarm_with_a_target_in_its_tags_is_found_after_a_cold_start() {
    let shop = Shop::open();
    shop.ports.alarms.remove(&errors_of("cart-v1"));
    let by_tags = alarm("lb-5xx", AlarmState::Alarm, shop.now(), on_nothing());
    let tags = [("meshwarden:mesh", "shop"), ("meshwarden:virtual-node", "cart-v1")];
    shop.ports.alarms.set_tags(&by_tags.arn, tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    shop.ports.alarms.put(by_tags.clone());
    shop.start().await.answer(&alarm_event("lb-5xx")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);

    let now = shop.now();
    shop.ports.alarms.set_state(&by_tags.name, AlarmState::Ok, now);
    let minutely = (0..600).map(|minute| now + jiff::SignedDuration::from_mins(minute));
    shop.ports.alarms.set_data(&by_tags.name, minutely);
    let function = shop.start().await;
    function.minutes(20).await;
    assert_eq!(shop.weights("cart"), BEFORE);
}
