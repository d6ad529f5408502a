//! The duration of a warm failover, measured in sequential calls.

use std::time::Duration;

use jiff::SignedDuration;
use ports_memory::{Fault, Gate};
use tokio::time::Instant;

use crate::shop::{Function, INVOCATION, Shop, errors_event};

const LATENCY: Duration = Duration::from_millis(20);

/// A warm function, and an alarm that has fired since. The earlier calls are not counted.
async fn warm_before_a_failure() -> (Shop, Function) {
    let shop = Shop::open();
    let function = shop.start().await;
    function.scheduled_run().await.unwrap();
    shop.fails("cart-v1");
    shop.ports.faults.reset();
    (shop, function)
}

#[tokio::test(start_paused = true)]
async fn warm_failover_makes_three_sequential_calls_before_the_write() {
    let (shop, function) = warm_before_a_failure().await;
    shop.ports.faults.set_latency(LATENCY);
    let gate = Gate::default();
    shop.ports.faults.once(|call| call.name == "update route", Fault::Waits(gate.clone()));

    let began = Instant::now();
    let event = errors_event("cart-v1");
    let at_the_gate = async {
        gate.reached().await;
        let elapsed = began.elapsed();
        gate.open();
        elapsed
    };
    let (answer, elapsed) = tokio::join!(function.answer(&event), at_the_gate);
    answer.unwrap();
    assert_eq!(shop.weights("cart"), [0, 100]);
    // Alarms; route and state table concurrently; lease; and the write.
    let rounds = elapsed.as_millis() / LATENCY.as_millis();
    assert!(rounds <= 3 + 1, "{rounds} rounds: {:#?}", shop.ports.faults.calls());
}

#[tokio::test(start_paused = true)]
async fn warm_failover_makes_no_superfluous_calls() {
    let (shop, function) = warm_before_a_failure().await;
    function.answer(&errors_event("cart-v1")).await.unwrap();
    let mut calls: Vec<String> = shop
        .ports
        .faults
        .calls()
        .iter()
        .filter(|call| !["describe", "load state"].contains(&call.name))
        .map(|call| call.name.to_owned())
        .collect();
    calls.sort();
    assert_eq!(
        calls,
        ["begin", "describe alarms", "finish", "list mute rules", "notify", "put events", "tag", "update route"]
    );
    // One description of each route with an alarm target, and one load for all of them.
    assert_eq!(shop.ports.faults.calls().len(), calls.len() + 4 + 1);
}

#[tokio::test(start_paused = true)]
async fn quiet_scheduled_run_reads_lists_and_no_descriptions() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.minutes(2).await;
    shop.ports.faults.reset();
    function.minutes(1).await;
    let calls = shop.ports.faults.calls();
    assert!(calls.iter().all(|call| !call.writes && call.name != "describe"), "{calls:#?}");
    // All alarms and the known ones; the four kinds below the mesh and the routes of each router; the state table.
    assert_eq!(calls.len(), 2 + 4 + 4 + 1, "{calls:#?}");
}

/// Tags that hang delay neither the weights nor the end of the change for long.
#[tokio::test(start_paused = true)]
async fn hanging_tag_delays_neither_weights_nor_record() {
    let (shop, function) = warm_before_a_failure().await;
    shop.ports.faults.set_latency(LATENCY);
    let gate = Gate::default();
    shop.ports.faults.whenever(|call| call.name == "tag", Fault::Waits(gate.clone()));
    let began = Instant::now();
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((shop.weights("cart"), shop.restore_tag("cart")), (vec![0, 100], None));
    shop.ports.faults.reset();
    function.scheduled_run().await.unwrap();
    assert!(shop.restore_tag("cart").is_some(), "a later run writes the tag");
}

/// The lease is held until the invocation can no longer write, even if it takes its maximum time.
#[tokio::test(start_paused = true)]
async fn lease_outlasts_the_invocation() {
    let (shop, function) = warm_before_a_failure().await;
    let gate = Gate::default();
    shop.ports.faults.once(|call| call.name == "update route", Fault::Waits(gate.clone()));
    let began = Instant::now();
    let event = errors_event("cart-v1");
    let at_the_gate = async {
        gate.reached().await;
        let until = shop.lease_of("cart").expect("a lease").until;
        let left = SignedDuration::try_from(INVOCATION.checked_sub(began.elapsed()).unwrap()).unwrap();
        assert!(until >= shop.now() + left, "{until}");
        gate.open();
    };
    let (answer, ()) = tokio::join!(function.answer(&event), at_the_gate);
    answer.unwrap();
}
