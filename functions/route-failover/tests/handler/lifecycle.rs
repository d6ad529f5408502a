//! From an alarm to the restored original weights, on all four kinds of routes.

use mesh::alarm::AlarmState;
use ports::StateKey;
use serde_json::{Value, json};

use crate::alarms::errors_of;
use crate::shop::{BEFORE, POLICY, ROUTERS, Shop, TWO_ROUTERS, decision, errors_event, event, route, spec};

#[tokio::test(start_paused = true)]
async fn every_kind_of_route_fails_over_and_returns_with_only_its_weights_changed() {
    for router in ROUTERS {
        let shop = Shop::open();
        let before = shop.spec(router);
        assert_eq!(before, spec(router, &BEFORE), "the model keeps what it reads");
        let function = shop.start().await;
        let failing = format!("{router}-v1");
        shop.fails(&failing);
        function.answer(&errors_event(&failing)).await.unwrap();
        assert_eq!(shop.spec(router), spec(router, &[0, 100]));
        assert!(shop.restore_tag(router).is_some_and(|tag| tag.ends_with(".8-2")), "{router}");

        shop.wait(3);
        shop.recovers(&failing);
        let mut seen = vec![shop.weights(router)];
        for _ in 0..20 {
            shop.wait(1);
            function.scheduled_run().await.unwrap();
            if seen.last() != Some(&shop.weights(router)) {
                seen.push(shop.weights(router));
            }
        }
        // Drained, the probe share, a quarter and a half of its 80 points, the original weights.
        assert_eq!(seen, [vec![0, 100], vec![5, 95], vec![20, 80], vec![40, 60], BEFORE.to_vec()], "{router}");
        assert_eq!(shop.spec(router), before);
        assert_eq!(shop.restore_tag(router), None);
        assert_eq!(shop.writes(), 5);
        assert_eq!(shop.spent(), 1, "only the fail-over counts");
        assert_eq!(shop.pages(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn failback_waits_for_the_dwell_and_for_each_step() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("cart-v2");
    function.answer(&errors_event("cart-v2")).await.unwrap();
    shop.wait(3);
    shop.recovers("cart-v2");
    let mut reasons = Vec::new();
    for _ in 0..13 {
        shop.wait(1);
        let answer = function.scheduled_run().await.unwrap();
        reasons.push(decision(&answer, "cart")["reason"].as_str().unwrap_or("said before").to_owned());
    }
    let dwell = ["InsideDwell"; 4];
    let steps = ["Failback", "InsideStep", "Failback", "InsideStep", "Failback", "InsideStep", "Restore"];
    assert_eq!(reasons, [&dwell[..], &steps, &["Steady", "said before"]].concat());
}

#[tokio::test(start_paused = true)]
async fn restore_tag_is_sent_before_the_weights_and_removed_after_them() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    shop.recovers("cart-v1");
    function.minutes(20).await;
    let order: Vec<&str> = shop
        .ports
        .faults
        .calls()
        .iter()
        .map(|call| call.name)
        .filter(|name| ["tag", "untag", "update route"].contains(name))
        .collect();
    let update = "update route";
    assert_eq!(order, ["tag", update, update, update, update, update, "untag"]);
}

#[tokio::test(start_paused = true)]
async fn repeated_event_changes_nothing() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("recommendations-v2");
    for _ in 0..3 {
        function.answer(&event("alarm-metric")).await.unwrap();
        shop.start().await.answer(&event("sqs-alarm-raw")).await.unwrap();
    }
    assert_eq!((shop.writes(), shop.spent()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn events_out_of_order_lead_to_decisions_on_the_current_state() {
    let shop = Shop::open();
    let function = shop.start().await;
    // ALARM arrives after the alarm has cleared: no change.
    function.answer(&event("alarm-metric")).await.unwrap();
    assert_eq!(shop.writes(), 0);
    // The older OK arrives while the alarm is on: the alarm is read as on.
    shop.fails("recommendations-v2");
    function.answer(&event("alarm-metric-ok")).await.unwrap();
    assert_eq!(shop.weights("recommendations"), [100, 0]);
    // The late ALARM arrives during the failback: the probe continues.
    shop.recovers("recommendations-v2");
    function.minutes(5).await;
    assert_eq!(shop.weights("recommendations"), [95, 5]);
    function.answer(&event("alarm-metric")).await.unwrap();
    assert_eq!(shop.weights("recommendations"), [95, 5]);
}

#[tokio::test(start_paused = true)]
async fn scheduled_runs_alone_lead_to_the_same_result() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.minutes(2).await;
    shop.fails("ledger-v2");
    function.minutes(1).await;
    assert_eq!(shop.weights("ledger"), [100, 0]);
    shop.recovers("ledger-v2");
    function.minutes(20).await;
    assert_eq!(shop.weights("ledger"), BEFORE);
}

#[tokio::test(start_paused = true)]
async fn returning_node_that_fails_again_is_drained_at_once_and_without_budget() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("cart-v2");
    function.answer(&errors_event("cart-v2")).await.unwrap();
    shop.recovers("cart-v2");
    function.minutes(7).await;
    assert_ne!(shop.weights("cart"), [100, 0]);
    shop.fails("cart-v2");
    let decision = function.decision(&errors_event("cart-v2"), "cart").await;
    assert_eq!(decision["reason"], "BackDown");
    assert_eq!((shop.weights("cart"), shop.spent()), (vec![100, 0], 1));
}

#[tokio::test(start_paused = true)]
async fn node_without_data_keeps_the_probe_share() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("cart-v2");
    function.answer(&errors_event("cart-v2")).await.unwrap();
    shop.ports.alarms.set_state(&errors_of("cart-v2"), AlarmState::Ok, shop.now());
    function.minutes(30).await;
    assert_eq!(shop.weights("cart"), [95, 5]);
    assert_eq!(decision(&function.scheduled_run().await.unwrap(), "cart")["reason"], "Unproven");
}

#[tokio::test(start_paused = true)]
async fn declared_standby_takes_all_traffic_and_returns_it() {
    let shop = standby_shop();
    let function = shop.start().await;
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!(shop.weights("cart"), [0, 20, 80]);
    shop.recovers("cart-v1");
    function.minutes(20).await;
    assert_eq!(shop.weights("cart"), [8, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn share_without_capacity_elsewhere_stays() {
    let shop = capped_shop();
    let function = shop.start().await;
    shop.fails("cart-v1");
    let decision = function.decision(&errors_event("cart-v1"), "cart").await;
    assert_eq!(decision["reason"], "PartialSpill");
    assert_eq!(decision["facts"]["unplaced"], 20);
    assert_eq!(shop.weights("cart"), [20, 80]);
    function.minutes(5).await;
    assert_eq!((shop.weights("cart"), shop.writes()), (vec![20, 80], 1));
}

#[tokio::test(start_paused = true)]
async fn lost_state_table_is_restored_from_the_tag_of_the_route() {
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("cart-v1");
    function.answer(&errors_event("cart-v1")).await.unwrap();
    let shop = shop.without_its_table();
    let function = shop.start().await;
    function.minutes(2).await;
    assert_eq!(shop.weights("cart"), [0, 100]);
    shop.recovers("cart-v1");
    function.minutes(20).await;
    assert_eq!((shop.weights("cart"), shop.restore_tag("cart")), (BEFORE.to_vec(), None));
}

#[tokio::test(start_paused = true)]
async fn only_messages_with_a_transient_failure_fail_in_a_batch() {
    let batch = |messages: &[(&str, String)]| -> Value {
        let record = |(id, body): &(&str, String)| json!({ "messageId": id, "eventSource": "aws:sqs", "body": body });
        json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() })
    };
    let shop = Shop::open();
    let function = shop.start().await;
    shop.fails("cart-v1");
    let good = errors_event("cart-v1").to_string();
    let messages = [("m0", "no JSON".to_owned()), ("m1", good), ("m2", event("unreadable-alarm").to_string())];
    let answer = function.answer(&batch(&messages)).await.unwrap();
    let failed = |ids: &[&str]| {
        let failures: Vec<Value> = ids.iter().map(|id| json!({ "itemIdentifier": id })).collect();
        json!({ "batchItemFailures": failures })
    };
    assert_eq!(answer, failed(&["m0", "m2"]), "unreadable messages reach the dead-letter queue");
    assert_eq!(shop.weights("cart"), [0, 100]);

    shop.throttle("update route");
    shop.recovers("cart-v1");
    shop.wait(6);
    let answer = function.answer(&batch(&messages)).await.unwrap();
    assert_eq!(answer, failed(&["m0", "m1", "m2"]));
}

#[tokio::test(start_paused = true)]
async fn state_table_has_no_record_of_a_route_without_an_alarm() {
    let shop = Shop::open();
    shop.ports.alarms.remove(&errors_of("ledger-v1"));
    shop.ports.alarms.remove(&errors_of("ledger-v2"));
    shop.start().await.scheduled_run().await.unwrap();
    assert_eq!(shop.ports.state.stored(&StateKey::route(&route("ledger"))), None);
    assert!(shop.ports.state.stored(&StateKey::route(&route("cart"))).is_some());
}

/// A shop with a third target of the cart: an idle standby, declared to be ready.
pub(crate) fn standby_shop() -> Shop {
    let policy = format!(
        "{POLICY}failover:
  targets: [{{mesh: shop, virtualNode: cart-v3, assumeReady: true}}]
  standbys: [{{mesh: shop, virtualRouter: cart, order: [cart-v3]}}]
"
    );
    let shop = Shop::with_routers(&TWO_ROUTERS, &policy);
    shop.add_node("cart-v3", "http2");
    shop.ports.alarms.remove(&errors_of("cart-v3"));
    shop.edits("cart", &[8, 2, 0]);
    shop
}

/// A shop in which the second target of the cart has capacity for 80 of 100.
pub(crate) fn capped_shop() -> Shop {
    let policy = format!(
        "{POLICY}failover:
  targets: [{{mesh: shop, virtualNode: cart-v2, capacityShare: 80}}]
"
    );
    Shop::with_routers(&TWO_ROUTERS, &policy)
}
