//! How long a warm fail-over takes, counted in calls that wait for one another.

use std::time::Duration;

use jiff::SignedDuration;
use ports::memory::{Fault, Gate};
use tokio::time::Instant;

use crate::shop::{Function, INVOCATION, Shop, errors_event};

const LATENCY: Duration = Duration::from_millis(20);

/// A warm function, and an alarm that has gone on since. The calls so far are forgotten.
async fn warm_before_a_failure() -> (Shop, Function) {
    let shop = Shop::open();
    let function = shop.start().await;
    function.wake().await.unwrap();
    shop.fails("cart-v1");
    shop.ports.faults.reset();
    (shop, function)
}

#[tokio::test(start_paused = true)]
async fn a_warm_fail_over_waits_for_three_rounds_before_it_writes() {
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
    // Alarms; route and state table side by side; lease; and the way of the write itself.
    let rounds = elapsed.as_millis() / LATENCY.as_millis();
    assert!(rounds <= 3 + 1, "{rounds} rounds: {:#?}", shop.ports.faults.calls());
}

#[tokio::test(start_paused = true)]
async fn a_warm_fail_over_makes_no_more_calls_than_it_needs() {
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
    // One description for each route that an alarm speaks of, and one load for all of them.
    assert_eq!(shop.ports.faults.calls().len(), calls.len() + 4 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_wake_reads_lists_and_describes_nothing_again() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.minutes(2).await;
    shop.ports.faults.reset();
    function.minutes(1).await;
    let calls = shop.ports.faults.calls();
    assert!(calls.iter().all(|call| !call.writes && call.name != "describe"), "{calls:#?}");
    // All alarms and the known ones; four kinds below the mesh and the routes of each router; the state table.
    assert_eq!(calls.len(), 2 + 4 + 4 + 1, "{calls:#?}");
}

/// Tags that hang neither delay the weights nor hold up the end of the change for long.
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
    function.wake().await.unwrap();
    assert!(shop.restore_tag("cart").is_some(), "a later run writes the tag");
}

/// The lease is held until the invocation cannot write any more, however long it may run.
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
