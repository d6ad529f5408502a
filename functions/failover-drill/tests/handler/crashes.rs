//! The function is killed at every call, before and after its effect, and another process resumes: the end is the same.

use std::collections::BTreeMap;

use mesh::alarm::AlarmState;
use ports_memory::Fault;
use serde_json::Value;

use crate::shop::{BEFORE, Shop, event, short_policy};

/// The moment of the kill.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// The invocation that starts the drill and drains the node.
    Start,
    /// The run after the writes.
    Confirm,
    /// The run in which an outcome alarm is in `ALARM`.
    Fail,
    /// The run at the end of the duration.
    Restore,
}

async fn end(moment: Moment, killed: Option<(usize, Fault)>) -> (BTreeMap<String, Value>, usize) {
    let shop = Shop::with(&short_policy());
    let function = shop.start().await;
    let mut trigger = event("tick-rule");
    match moment {
        Moment::Start => trigger = event("direct-start"),
        Moment::Confirm => {
            function.answer(&event("direct-start")).await.unwrap();
            shop.wait(1);
        }
        Moment::Fail => {
            function.answer(&event("direct-start")).await.unwrap();
            function.minutes(2).await;
            shop.set_alarm("checkout", AlarmState::Alarm);
            shop.wait(1);
        }
        Moment::Restore => {
            function.answer(&event("direct-start")).await.unwrap();
            function.minutes(5).await;
            shop.wait(1);
        }
    }
    shop.ports.faults.reset();
    let dies = killed.is_some();
    if let Some((call, fault)) = killed {
        shop.ports.faults.at(call, fault);
    }
    let answer = shop.ports.faults.run(function.answer(&trigger)).await;
    assert_eq!(answer.is_none(), dies);
    let calls = shop.ports.faults.calls().len();
    drop(function);
    let next = shop.start().await;
    if dies && moment == Moment::Start {
        // The sender repeats its request. The lease of the killed process may still last.
        shop.wait(2);
        next.answer(&trigger).await.unwrap();
    }
    next.until_ended(&shop).await;
    (shop.state(), calls)
}

async fn killed_at_every_call(moment: Moment) {
    let (undisturbed, calls) = end(moment, None).await;
    assert_eq!(undisturbed["phase"], "");
    assert!(calls > 5, "{moment:?} makes only {calls} calls");
    for call in 0..calls {
        for fault in Fault::crashes() {
            let context = format!("{moment:?}, {fault:?} at call {call} of {calls}");
            let (state, _) = end(moment, Some((call, fault))).await;
            let differs: Vec<String> = undisturbed
                .iter()
                .filter(|(name, value)| state.get(*name) != Some(value))
                .map(|(name, value)| format!("{name}\n  is        {:?}\n  should be {value}", state.get(name)))
                .collect();
            assert!(differs.is_empty(), "{context}:\n{}", differs.join("\n"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_call_of_the_start() {
    killed_at_every_call(Moment::Start).await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_call_of_the_confirmation() {
    killed_at_every_call(Moment::Confirm).await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_call_of_a_failure() {
    killed_at_every_call(Moment::Fail).await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_call_of_the_restore() {
    killed_at_every_call(Moment::Restore).await;
}

/// The invocation of an outcome alarm that is `OK` again before the next run, killed at this call.
async fn short_alarm(killed: Option<(usize, Fault)>) -> (Shop, usize) {
    let shop = Shop::with(&short_policy());
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    function.minutes(1).await;
    shop.set_alarm("checkout", AlarmState::Alarm);
    shop.ports.faults.reset();
    if let Some((call, fault)) = killed {
        shop.ports.faults.at(call, fault);
    }
    shop.ports.faults.run(function.answer(&event("alarm-metric"))).await;
    let calls = shop.ports.faults.calls().len();
    drop(function);
    shop.set_alarm("checkout", AlarmState::Ok);
    (shop, calls)
}

/// A restore comes before its record, and a process that is killed in between loses no verdict.
#[tokio::test(start_paused = true)]
async fn verdict_survives_a_kill_after_the_first_restored_weights() {
    let (_, calls) = short_alarm(None).await;
    let mut unrecorded = 0;
    for call in 0..calls {
        // A kill after the effect of a call is a kill before the next one.
        let Some(fault) = Fault::crashes().into_iter().next() else { return };
        let context = format!("{fault:?} at call {call} of {calls}");
        let (shop, _) = short_alarm(Some((call, fault))).await;
        let is_restored = shop.weights() != [crate::shop::DRAINED; 2];
        let is_recorded = shop.phase() != "running";
        unrecorded += usize::from(is_restored && !is_recorded);
        shop.start().await.until_ended(&shop).await;
        assert_eq!(shop.weights(), [BEFORE; 2], "{context}");
        if is_restored || is_recorded {
            assert_eq!(shop.last(), ("FAILED".to_owned(), "OutcomeAlarm".to_owned()), "{context}");
            let pages = shop.notices(ports::Urgency::Page);
            assert!(!pages.is_empty() && pages.len() <= 2, "{context}: {pages:?}");
        }
    }
    assert!(unrecorded > 1, "no process was killed between the weights and the record");
}

/// A process that never runs again leaves the deadline on each drained route, where route-failover reads it.
#[tokio::test(start_paused = true)]
async fn deadline_stands_on_each_route_before_its_write() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    for router in crate::shop::ROUTERS {
        let key = ports::StateKey::route(&crate::shop::route(router));
        let stored = shop.ports.state.stored(&key).unwrap();
        assert_eq!(stored.document["layers"]["drill"]["restoreBy"], "2026-11-30T12:35:00Z", "{router}");
        let begun = shop.ports.state.journal_of(&key).into_iter().find(|entry| entry.id.ends_with("-begun")).unwrap();
        assert_eq!(begun.body["reason"], "Draining", "{}", begun.body);
    }
    assert_eq!(BEFORE, [8, 2]);
}
