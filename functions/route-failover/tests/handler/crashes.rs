//! The function is killed at every call, before and after the call's effect, and another process resumes: the end state is
//! the same.

use std::collections::BTreeMap;

use ports_memory::Fault;
use serde_json::{Value, json};

use crate::scenarios::{ALL, Moment, Scenario};

/// The end state of a run that is killed with this fault at this call, or of an undisturbed run, and the number of calls
/// of the invocation.
async fn end(scenario: Scenario, killed: Option<(usize, Fault)>) -> (BTreeMap<String, Value>, usize) {
    let Moment { shop, function, event } = scenario.begin().await;
    let dies = killed.is_some();
    if let Some((call, fault)) = killed {
        shop.ports.faults.at(call, fault);
    }
    let answer = shop.ports.faults.run(function.answer(&event)).await;
    assert_eq!(answer.is_none(), dies);
    let calls = shop.ports.faults.calls().len();
    drop(function);
    let next = shop.start().await;
    if dies && scenario.needs_its_event() {
        // Lambda repeats an asynchronous event after one minute, when the lease of the killed process may still be held, and
        // after two more minutes.
        shop.wait(3);
        next.answer(&event).await.unwrap();
    }
    next.minutes(scenario.minutes()).await;
    let mut world = shop.world();
    world.insert("notified changes".to_owned(), json!(shop.notified_changes()));
    (world, calls)
}

async fn killed_at_every_call(scenario: Scenario) {
    let (undisturbed, calls) = end(scenario, None).await;
    assert!(calls > 3, "{scenario:?} makes only {calls} calls");
    for call in 0..calls {
        for fault in Fault::crashes() {
            let case = format!("{scenario:?}, {fault:?} at call {call} of {calls}");
            let (world, _) = end(scenario, Some((call, fault))).await;
            assert_same(&world, &undisturbed, &case);
        }
    }
}

/// Compares two end states. The message has only the differences.
pub(crate) fn assert_same(world: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>, case: &str) {
    let differs = expected.iter().filter(|(name, value)| world.get(*name) != Some(value));
    let texts: Vec<String> = differs
        .map(|(name, value)| {
            format!("{name}\n  is        {}\n  should be {value}", world.get(name).unwrap_or(&Value::Null))
        })
        .collect();
    assert!(
        texts.is_empty(),
        "{case}:
    {}",
        texts.join(
            "
    "
        )
    );
}

macro_rules! one_test_each {
    ($run:ident: $($name:ident $scenario:ident),* $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                $run(crate::scenarios::Scenario::$scenario).await;
            }
        )*

        #[test]
        fn every_scenario_is_tested() {
            let tested = [$(stringify!($scenario)),*];
            assert_eq!(tested.map(str::to_owned).to_vec(), crate::scenarios::ALL.map(|scenario| format!("{scenario:?}")));
        }
    };
}
pub(crate) use one_test_each;

one_test_each! { killed_at_every_call:
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

/// The undisturbed runs reach the expected end states: otherwise, the comparison could compare two wrong states.
#[tokio::test(start_paused = true)]
async fn every_scenario_reaches_its_end_state() {
    for scenario in ALL {
        let (world, _) = end(scenario, None).await;
        let router = if matches!(scenario, Scenario::Release) { "recommendations" } else { "cart" };
        let record = &world[&format!("{router} record")];
        let weights: Vec<u64> =
            record["split"].as_array().unwrap().iter().map(|target| target["weight"].as_u64().unwrap()).collect();
        let (expected, spent): (&[u64], u64) = match scenario {
            Scenario::FailOver | Scenario::FailOverCold | Scenario::FailOverByWake | Scenario::BackDown => {
                (&[0, 100], 1)
            }
            Scenario::PartialSpill => (&[20, 80], 1),
            Scenario::Standby => (&[0, 20, 80], 1),
            Scenario::Probe => (&[5, 95], 1),
            Scenario::Step | Scenario::Restore => (&[8, 2], 1),
            Scenario::EditSeen => (&[50, 50], 1),
            Scenario::Release => (&[100, 0], 2),
            Scenario::LostTable => (&[0, 100], 0),
            Scenario::Hold | Scenario::OverdueDrill | Scenario::LostRollout => (&[8, 2], 0),
            Scenario::RolloutTarget => (&[100, 0], 1),
        };
        assert_eq!((weights.as_slice(), &world["budget spent"]), (expected, &Value::from(spent)), "{scenario:?}");
        assert_eq!(record["intent"], Value::Null, "{scenario:?}");
        let untagged = [
            Scenario::Step,
            Scenario::Restore,
            Scenario::EditSeen,
            Scenario::Hold,
            Scenario::OverdueDrill,
            Scenario::LostRollout,
        ];
        let tagged = !untagged.contains(&scenario);
        assert_eq!(!world[&format!("{router} tag")].is_null(), tagged, "{scenario:?}");
    }
}
