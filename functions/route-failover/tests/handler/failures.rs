//! Calls that fail temporarily or permanently: changes, reports and retries.

use mesh::alarm::{AlarmSource, AlarmState};
use mesh::name::{MeshName, ResourcePath};
use ports_memory::Failure;
use serde_json::json;

use crate::alarms::{alarm, on_node, on_nothing};
use crate::shop::{POLICY, Shop, alarm_event, decision, errors_event};

#[tokio::test(start_paused = true)]
async fn without_the_state_table_nothing_is_written_and_the_failure_pages_soon() {
    for call in ["load state", "begin"] {
        let shop = Shop::open();
        let function = shop.start().await;
        function.scheduled_run().await.unwrap();
        shop.breaks(call, Failure::Unavailable);
        shop.fails("cart-v1");
        for minute in 0..17 {
            let answer = function.answer(&errors_event("cart-v1")).await;
            assert!(answer.is_err(), "{call}, minute {minute}: {answer:?}");
            // While an alarm is on, `holdAfter` counts.
            assert_eq!(shop.pages().len(), usize::from(minute >= 2), "{call}, minute {minute}");
            shop.wait(1);
        }
        assert_eq!(shop.writes(), 0, "{call}");
        function.scheduled_run().await.unwrap_err();
        assert_eq!(shop.pages().len(), 2, "{call}: said again after a quarter of an hour");

        shop.ports.faults.reset();
        function.minutes(1).await;
        assert_eq!(shop.weights("cart"), [0, 100], "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn failure_after_a_recovery_is_another_one() {
    let shop = Shop::open();
    let function = shop.start().await;
    for _ in 0..10 {
        shop.breaks("load state", Failure::Unavailable);
        shop.wait(1);
        function.scheduled_run().await.unwrap_err();
        shop.ports.faults.reset();
        function.minutes(1).await;
    }
    assert_eq!(shop.pages().len(), 0, "none of them lasts");
}

#[tokio::test(start_paused = true)]
async fn denied_write_is_reported_and_paged_and_not_retried() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.breaks("update route", Failure::Denied);
    shop.fails("cart-v1");
    let failed = function.decision(&errors_event("cart-v1"), "cart").await;
    assert_eq!(failed["outcome"]["outcome"], "Failed");
    assert!(failed["outcome"]["error"].as_str().unwrap().contains("denied"), "{failed}");
    assert_eq!((shop.writes(), shop.pages().len()), (0, 1));
    function.minutes(14).await;
    assert_eq!((shop.pages().len(), shop.ports.notifier.sent().len()), (1, 1));
    assert_eq!(shop.spent(), 1, "what never happened is paid for once");
    function.minutes(1).await;
    assert_eq!(shop.pages().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn throttled_write_is_retried() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.throttle("update route");
    shop.fails("cart-v1");
    let why = function.answer(&errors_event("cart-v1")).await.unwrap_err();
    assert!(why.contains("throttled"), "{why}");
    shop.ports.faults.reset();
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!((shop.weights("cart"), shop.spent()), (vec![0, 100], 1));
}

#[tokio::test(start_paused = true)]
async fn unwritable_tag_does_not_block_a_failover() {
    for failure in [Failure::Denied, Failure::Throttled] {
        let shop = Shop::open();
        let function = shop.start().await;
        shop.breaks("tag", failure);
        shop.breaks("untag", failure);
        shop.fails("cart-v1");
        function.answer(&errors_event("cart-v1")).await.unwrap();
        assert_eq!(shop.weights("cart"), [0, 100]);
        shop.recovers("cart-v1");
        function.minutes(20).await;
        assert_eq!(shop.weights("cart"), [8, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_tags_of_one_alarm_do_not_block_other_alarms() {
    for (failure, comes_again) in [(Failure::Denied, false), (Failure::Throttled, true)] {
        let shop = Shop::open();
        shop.ports.alarms.put(alarm("lb-5xx", AlarmState::Alarm, shop.now(), on_nothing()));
        let function = shop.start().await;
        shop.breaks("list tags of alarm", failure);
        shop.fails("cart-v1");
        let answer = function.answer(&errors_event("cart-v1")).await;
        assert_eq!(answer.is_err(), comes_again, "{failure:?}");
        assert_eq!(shop.weights("cart"), [0, 100], "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_route_does_not_block_other_routes() {
    let shop = Shop::open();
    let function = shop.start().await;
    let of_ledger = |call: &ports_memory::Call| call.name == "list tags of" && call.subject.contains("/ledger/");
    let denied = ports_memory::Fault::Fails(Failure::Denied, ports_memory::Effect::NotDone);
    shop.ports.faults.whenever(of_ledger, denied);
    shop.fails("cart-v1");
    let answer = function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);
    assert_eq!(decision(&answer, "ledger")["reason"], "CannotObserve");
    assert!(answer.to_string().contains("RecordUnreadable"), "{answer:#}");
    assert_eq!(shop.pages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unreadable_mesh_does_not_block_other_meshes() {
    let shop = Shop::open();
    let bank = MeshName::parse("bank").unwrap();
    let mut elsewhere = alarm("bank-5xx", AlarmState::Alarm, shop.now(), on_nothing());
    elsewhere.source = match on_node("teller") {
        AlarmSource::Metric(mut queries) => {
            let mesh::alarm::MetricTerm::Stat { dimensions, .. } = &mut queries[0].term else { panic!("a metric") };
            dimensions.insert("Mesh".to_owned(), "bank".to_owned());
            AlarmSource::Metric(queries)
        }
        other => other,
    };
    shop.ports.alarms.put(elsewhere);
    shop.fails("cart-v1");
    let answer = shop.start().await.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);
    let unread = &answer["decisions"].as_array().unwrap()[0];
    assert_eq!(
        (&unread["resource"], &unread["reason"]),
        (&json!(ResourcePath::Mesh(bank).to_string()), &json!("CannotObserve"))
    );
    assert_eq!(shop.pages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn hold_is_paged_again_after_the_repeat_interval() {
    let shop = Shop::with(&format!("{POLICY}failover: {{paging: {{repeatAfter: 10m}}}}\n"));
    let function = shop.start().await;
    shop.fails("cart-v1");
    shop.fails("cart-v2");
    function.scheduled_run().await.unwrap();
    function.minutes(9).await;
    assert_eq!(shop.pages().len(), 1);
    // Another process reads the stored notification.
    let function = shop.start().await;
    function.minutes(1).await;
    assert_eq!(shop.pages().len(), 2);
    function.minutes(9).await;
    assert_eq!(shop.pages().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn unsent_page_is_sent_by_the_next_run() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.throttle("notify");
    shop.fails("cart-v1");
    shop.fails("cart-v2");
    function.scheduled_run().await.unwrap();
    shop.ports.faults.reset();
    function.minutes(1).await;
    assert_eq!(shop.pages().len(), 1);
    function.minutes(5).await;
    assert_eq!(shop.pages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn alarm_deleted_after_it_was_listed_is_ignored() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.ports.alarms.put(alarm("lb-5xx", AlarmState::Alarm, shop.now(), on_nothing()));
    shop.ports.alarms.remove(&crate::alarms::name("lb-5xx"));
    // The list still has the deleted alarm; its tags are not found.
    let listed = |call: &ports_memory::Call| call.name == "list alarms";
    shop.ports.faults.once(listed, ports_memory::Fault::StaleRead);
    shop.ports.faults.once(|call| call.name == "describe alarms", ports_memory::Fault::StaleRead);
    let answer = function.answer(&alarm_event("lb-5xx")).await;
    assert!(answer.is_ok(), "{answer:?}");
}

/// An invocation that runs out of time pages its failed calls, and pages a lasting lack of time.
#[tokio::test(start_paused = true)]
async fn run_that_runs_out_of_time_pages_its_failures() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.scheduled_run().await.unwrap();
    shop.fails("cart-v1");
    let gate = ports_memory::Gate::default();
    for minute in 0..6 {
        shop.ports.faults.whenever(|call| call.name == "list", ports_memory::Fault::Waits(gate.clone()));
        let why = function.scheduled_run().await.unwrap_err();
        assert!(why.contains("ran out of time"), "{why}");
        shop.ports.faults.reset();
        assert_eq!(shop.pages().len(), usize::from(minute >= 2), "minute {minute}: {:?}", shop.pages());
        shop.wait(1);
    }
    assert!(shop.pages()[0].body.contains("the time of an invocation"), "{}", shop.pages()[0].body);
    function.scheduled_run().await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);
}
