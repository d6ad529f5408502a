//! The function is killed at every call, before and after its effect, and another process continues: the end is the same.

use std::collections::BTreeSet;

use mesh::alarm::AlarmState;
use ports_memory::{Fault, Faults};

use crate::shop::{Process, Shop, short};

/// The moment in which the function is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// The request arrives, and the first step is written.
    Start,
    /// The step ends, and the last step is written.
    Step,
    /// The bake time ends, and the rollout is promoted.
    Promotion,
    /// A gate fails.
    Rollback,
}

/// The compared end of a run.
#[derive(Debug, PartialEq)]
struct End {
    weights: [Vec<u8>; 2],
    state: String,
    failure: Option<String>,
    layers: bool,
    declared: Vec<u8>,
    ended: bool,
    pages: BTreeSet<String>,
    budget: u32,
}

fn end(shop: &Shop) -> End {
    let record = shop.record("r1").unwrap_or_else(|| panic!("no document: {:?}", shop.index()));
    let route = shop.route_record("all").unwrap_or_else(|| panic!("no write: {:?}", shop.record("r1")));
    let window = ports::BudgetWindow::at(
        traffic_shift::NAME,
        policy::RolloutsPolicy::default().budget.window.get(),
        "2026-11-20T10:00:00Z".parse().unwrap(),
    );
    End {
        weights: [shop.weights("all"), shop.weights("beta")],
        state: record.state.name().to_owned(),
        failure: record.failure.map(|failure| failure.code),
        layers: route.layers.rollout.is_some(),
        declared: route.declared().weights(),
        ended: shop.index().ended.contains_key("shop/r1"),
        pages: shop.pages().into_iter().collect(),
        budget: shop.ports.state.spent(&window),
    }
}

/// The shop just before the moment.
async fn before(moment: Moment) -> (Shop, Process) {
    let shop = Shop::open();
    let function = shop.start().await;
    if moment == Moment::Start {
        return (shop, function);
    }
    function.answer(&short()).await.unwrap();
    match moment {
        Moment::Start => {}
        Moment::Step => function.minutes(1).await,
        Moment::Promotion => function.minutes(3).await,
        Moment::Rollback => {
            function.minutes(1).await;
            shop.set_alarm(AlarmState::Alarm);
        }
    }
    (shop, function)
}

async fn happens(moment: Moment, shop: &Shop, function: &Process) -> Result<serde_json::Value, String> {
    if moment == Moment::Start {
        return function.answer(&short()).await;
    }
    shop.ports.clock.advance(jiff::SignedDuration::from_mins(1));
    function.tick().await
}

/// The end of a run with this fault, or without one; and how many calls the moment took.
async fn run(moment: Moment, fault: Option<(usize, Fault)>, is_killed: bool) -> (End, usize) {
    let (shop, function) = before(moment).await;
    shop.ports.faults.reset();
    if let Some((call, fault)) = fault {
        shop.ports.faults.at(call, fault);
    }
    let faults: Faults = shop.ports.faults.clone();
    let answer = faults.run(happens(moment, &shop, &function)).await;
    assert_eq!(answer.is_none(), is_killed);
    let calls = shop.ports.faults.calls().len();
    shop.ports.faults.reset();
    let next = if is_killed { shop.start().await } else { function };
    if moment == Moment::Start {
        // Lambda tries the event again, when the lease of the killed process may have ended.
        shop.ports.clock.advance(jiff::SignedDuration::from_mins(2));
        next.answer(&short()).await.unwrap();
    }
    next.minutes(14).await;
    (end(&shop), calls)
}

async fn killed_at_every_call(moment: Moment) {
    let (undisturbed, calls) = run(moment, None, false).await;
    assert!(calls > 5, "{moment:?} makes only {calls} calls");
    let expected = if moment == Moment::Rollback { "rolled-back" } else { "promoted" };
    assert_eq!((undisturbed.state.as_str(), undisturbed.ended, undisturbed.budget), (expected, true, 1));
    for call in 0..calls {
        for fault in Fault::crashes() {
            let (found, _) = run(moment, Some((call, fault.clone())), true).await;
            // The reason of a rollback that was killed before its record was stored is found on the route.
            let same = End { failure: found.failure.clone(), ..found };
            if moment == Moment::Rollback {
                let known = ["GateFailed", "RolledBack"];
                assert!(known.contains(&same.failure.as_deref().unwrap_or_default()), "{fault:?} at call {call}");
                assert_eq!(
                    (&same.weights, &same.state, same.layers, same.ended),
                    (&undisturbed.weights, &undisturbed.state, false, true),
                    "{fault:?} at call {call}"
                );
                assert!(!same.pages.is_empty(), "{fault:?} at call {call}: no page");
            } else {
                assert_eq!(same, undisturbed, "{fault:?} at call {call} of {calls}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn start_killed_at_every_call() {
    killed_at_every_call(Moment::Start).await;
}

#[tokio::test(start_paused = true)]
async fn step_killed_at_every_call() {
    killed_at_every_call(Moment::Step).await;
}

#[tokio::test(start_paused = true)]
async fn promotion_killed_at_every_call() {
    killed_at_every_call(Moment::Promotion).await;
}

#[tokio::test(start_paused = true)]
async fn rollback_killed_at_every_call() {
    killed_at_every_call(Moment::Rollback).await;
}

/// Every class of fault at every call of a moment, without a kill: the same process continues.
pub(crate) async fn every_fault(is_rollback: bool) {
    let moment = if is_rollback { Moment::Rollback } else { Moment::Step };
    let (undisturbed, calls) = run(moment, None, false).await;
    let faults: Vec<Fault> = Fault::every().into_iter().filter(|fault| !matches!(fault, Fault::Crash(_))).collect();
    // Three classes at each call; which ones goes round with the call.
    for call in 0..calls {
        for number in 0..3 {
            let fault = faults[(call * 3 + number) % faults.len()].clone();
            let (shop, function) = before(moment).await;
            shop.ports.faults.reset();
            shop.ports.faults.at(call, fault.clone());
            drop(happens(moment, &shop, &function).await);
            shop.ports.faults.reset();
            function.minutes(14).await;
            let found = end(&shop);
            assert_eq!(
                (&found.weights, &found.state, found.layers, found.budget),
                (&undisturbed.weights, &undisturbed.state, undisturbed.layers, undisturbed.budget),
                "{fault:?} at call {call} of {calls}"
            );
        }
    }
}
