//! Every call fails in every way: what Lambda's retries and the next wakes make of it is the same in the end.

use std::collections::BTreeMap;

use ports::memory::{Call, Fault};
use serde_json::{Value, json};

use crate::crashes::{assert_same, one_test_each};
use crate::scenarios::{Moment, Scenario};

/// Lambda tries an asynchronous event again twice.
const RETRIES: usize = 2;

/// The end of a run with this fault at this call, or without any; and the calls of the moment.
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
        for fault in Fault::every() {
            let told = format!("{scenario:?}, {fault:?} at call {}: {call}", call.number);
            let (mut world, _) = end(scenario, Some((call.number, fault))).await;
            if call.name == "tag" {
                // A tag that could not be set is not tried again: the state table has the restore point.
                for (name, value) in &mut world {
                    if name.ends_with("tags") && *value == json!({}) {
                        value.clone_from(&undisturbed[name]);
                    }
                }
            }
            assert_same(&world, &undisturbed, &told);
        }
    }
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
}
