//! Every call fails in every way: after Lambda's retries and the next scheduled runs, the end state is the same.

use std::collections::BTreeMap;

use ports_memory::{Call, Effect, Fault};
use serde_json::Value;

use crate::crashes::{assert_same, one_test_each};
use crate::scenarios::{Moment, Scenario};

/// The number of Lambda's retries of an asynchronous event.
const RETRIES: usize = 2;

/// The end state of a run with this fault at this call, or of an undisturbed run, and the calls of the invocation.
async fn end(scenario: Scenario, wrong: Option<(usize, Fault)>) -> (BTreeMap<String, Value>, Vec<Call>) {
    let Moment { shop, function, event } = scenario.begin().await;
    if let Some((call, fault)) = wrong {
        shop.ports.faults.at(call, fault);
    }
    let mut answer = function.answer(&event).await;
    let calls = shop.ports.faults.calls();
    for _ in 0..RETRIES {
        if answer.is_err() {
            shop.wait(1);
            answer = function.answer(&event).await;
        }
    }
    assert!(answer.is_ok(), "{answer:?}");
    function.minutes(scenario.minutes()).await;
    (shop.world(), calls)
}

async fn every_fault_at_every_call(scenario: Scenario) {
    let (undisturbed, calls) = end(scenario, None).await;
    for call in calls {
        for fault in Fault::every().into_iter().filter(|fault| can_happen(fault, &call)) {
            let case = format!("{scenario:?}, {fault:?} at call {}: {call}", call.number);
            let stale = matches!(fault, Fault::StaleRead);
            let (world, _) = end(scenario, Some((call.number, fault))).await;
            let expected = match (stale, call.name) {
                (true, "describe alarms" | "list alarms" | "count data points") => {
                    as_if_the_alarm_were_late(scenario, &undisturbed)
                }
                // Without the state table and with a stale read of the route, a shift is begun that was made before: it is
                // superseded, and counts against the budget.
                (true, "describe") if matches!(scenario, Scenario::LostTable) => specs(&undisturbed),
                // The tag is then the only record of the rollout: a reading from before it takes the present split as declared.
                // Our control plane gives no such reading.
                (true, "list tags of") if matches!(scenario, Scenario::LostRollout) => BTreeMap::new(),
                _ => undisturbed.clone(),
            };
            assert_same(&world, &expected, &case);
        }
    }
}

/// Whether a fault is possible at a call. A read has no effect that could survive a lost answer; a write is never stale.
fn can_happen(fault: &Fault, call: &Call) -> bool {
    match fault {
        Fault::Fails(_, Effect::Done) => call.writes,
        Fault::StaleRead => !call.writes,
        Fault::Fails(_, Effect::NotDone) | Fault::Crash(_) | Fault::Waits(_) => true,
    }
}

/// The end state after a stale read of an alarm, which leads to the decision for the earlier state. The weights are the
/// same; the number of writes may differ.
fn as_if_the_alarm_were_late(scenario: Scenario, world: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    // If the second alarm changes the decision, the first alarm alone leads to a shift.
    if matches!(scenario, Scenario::Hold) { BTreeMap::new() } else { specs(world) }
}

fn specs(world: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    world
        .iter()
        .filter(|(name, _)| name.ends_with(" spec"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

one_test_each! { every_fault_at_every_call:
    fail_over FailOver,
    fail_over_cold FailOverCold,
    fail_over_by_wake FailOverByWake,
    partial_spill PartialSpill,
    standby Standby,
    probe Probe,
    step Step,
    back_down BackDown,
    restore Restore,
    edit_seen EditSeen,
    release Release,
    lost_table LostTable,
    hold Hold,
    rollout_target RolloutTarget,
    overdue_drill OverdueDrill,
    lost_rollout LostRollout,
}
