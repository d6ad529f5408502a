//! Work and notifications that a process left undone are completed by the next one, once.

use ports_memory::{Effect, Failure, Fault};

use crate::scenarios::{Moment, Scenario};
use crate::shop::{Shop, errors_event};

#[tokio::test(start_paused = true)]
async fn unreported_change_is_reported_by_the_next_run() {
    for (call, effect) in [("update route", Effect::Done), ("notify", Effect::NotDone)] {
        let Moment { shop, function, event } = Scenario::FailOver.begin().await;
        shop.ports.faults.once(move |given| given.name == call, Fault::Crash(effect));
        assert!(shop.ports.faults.run(function.answer(&event)).await.is_none());
        assert_eq!(shop.ports.notifier.sent(), []);
        let next = shop.start().await;
        next.minutes(5).await;
        let sent = shop.ports.notifier.sent();
        assert_eq!(sent.len(), 1, "killed at `{call}`: {sent:?}");
        assert!(sent[0].subject.starts_with("act: Failover mesh/shop/"), "{}", sent[0].subject);
    }
}

#[tokio::test(start_paused = true)]
async fn unsent_note_is_sent_later() {
    let Moment { shop, function, event } = Scenario::FailOver.begin().await;
    shop.throttle("notify");
    function.answer(&event).await.unwrap();
    shop.ports.faults.reset();
    function.minutes(5).await;
    let sent = shop.ports.notifier.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn restore_tag_that_failed_is_set_by_a_later_run_once() {
    // A denied call is repeated, too: the permission may be granted.
    for failure in [Failure::Throttled, Failure::Denied] {
        let Moment { shop, function, event } = Scenario::FailOver.begin().await;
        shop.breaks("tag", failure);
        function.answer(&event).await.unwrap();
        assert_eq!((shop.weights("cart"), shop.restore_tag("cart")), (vec![0, 100], None), "{failure:?}");
        function.minutes(1).await;
        shop.ports.faults.reset();
        function.minutes(1).await;
        assert!(shop.restore_tag("cart").is_some_and(|tag| tag.ends_with(".8-2")), "{failure:?}");
        shop.ports.faults.reset();
        function.minutes(3).await;
        assert!(shop.ports.faults.calls().iter().all(|call| call.name != "tag"), "{failure:?}: written once");
    }
}

#[tokio::test(start_paused = true)]
async fn hold_that_cannot_be_stored_is_not_paged_every_minute() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.scheduled_run().await.unwrap();
    shop.breaks("note", Failure::Unavailable);
    shop.fails("cart-v1");
    shop.fails("cart-v2");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    function.minutes(14).await;
    assert_eq!(shop.pages().len(), 1);
    function.minutes(1).await;
    assert_eq!(shop.pages().len(), 2, "said again after a quarter of an hour");
    // Once it is stored, other processes read it, too.
    shop.ports.faults.reset();
    function.minutes(1).await;
    shop.start().await.minutes(5).await;
    assert_eq!(shop.pages().len(), 2);
}
