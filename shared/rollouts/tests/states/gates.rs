//! The results of gates: data, no data, partial data, and the comparison with the old version.

use mesh::alarm::{Alarm, AlarmSource, AlarmState};
use mesh::certificates::SourceReading;
use rollouts::{GateResult, Measure, RolloutState};
use serde_json::{Value, json};

use crate::world::{ALL, World, alarm};

/// A rollout with one metric gate, which has just begun its first step an hour ago.
fn watching(gate: &Value) -> World {
    let mut world = World::new(&json!({ "gates": { "metrics": [gate] }, "interval": "5m" }));
    world.run();
    world
}

fn result(world: &World) -> (GateResult, String) {
    let gate = world.record().gates.values().next().unwrap();
    (gate.result, gate.text.clone())
}

type Row<'a> = (&'a Value, [f64; 2], Option<[f64; 2]>, GateResult);

/// Requests and failed requests per minute of the new and of the old version, and the result after eight minutes.
#[test]
fn error_ratio_is_compared_with_its_limits() {
    let absolute = json!({ "errorRatio": { "max": "1%" }, "minRequests": 100, "failAfter": 1 });
    let relative =
        json!({ "errorRatio": { "overBaseline": 2.0, "minDifference": "1%" }, "minRequests": 100, "failAfter": 1 });
    let rows: [Row<'_>; 9] = [
        (&absolute, [100.0, 0.0], None, GateResult::Pass),
        (&absolute, [100.0, 1.0], None, GateResult::Pass),
        (&absolute, [100.0, 2.0], None, GateResult::Fail),
        (&absolute, [10.0, 10.0], None, GateResult::Unknown),
        (&absolute, [0.0, 0.0], None, GateResult::Unknown),
        (&relative, [100.0, 4.0], Some([100.0, 3.0]), GateResult::Pass),
        (&relative, [100.0, 7.0], Some([100.0, 3.0]), GateResult::Fail),
        (&relative, [1000.0, 5.0], Some([1000.0, 1.0]), GateResult::Pass),
        (&relative, [100.0, 7.0], Some([0.0, 0.0]), GateResult::Unknown),
    ];
    for (gate, new, old, expected) in rows {
        let mut world = watching(gate);
        for _ in 0..4 {
            for (node, [requests, errors]) in [("recs-v2", new), ("recs-v1", old.unwrap_or([100.0, 0.0]))] {
                world.set_metric(node, Measure::Requests, requests);
                world.set_metric(node, Measure::Errors, errors);
            }
            world.now += jiff::SignedDuration::from_mins(1);
            world.pass();
        }
        if expected == GateResult::Fail {
            assert_eq!(
                world.record().failure.as_ref().map(|failure| failure.code.as_str()),
                Some("GateFailed"),
                "{gate} {new:?} {old:?}: {:?}",
                result(&world)
            );
        } else {
            assert_eq!(result(&world).0, expected, "{gate} {new:?} {old:?}: {}", result(&world).1);
        }
    }
}

/// A composite alarm and the alarms below it are one cause: the text has the root and counts the others.
#[test]
fn text_of_a_failed_gate_names_the_root_alarm_and_counts_the_rest() {
    let composite = |name: &str, rule: &str| Alarm {
        source: AlarmSource::Composite(rule.to_owned()),
        ..alarm(name, AlarmState::Alarm)
    };
    for (rules, expected) in [
        ([("root", "ALARM(middle)"), ("middle", "ALARM(leaf)")], "alarm root: ALARM, and 2 alarms that it includes"),
        (
            [("root", "ALARM(leaf)"), ("middle", "OK(other)")],
            "alarm middle: ALARM; alarm root: ALARM, and 1 alarm that it includes",
        ),
        // A rule that refers to itself, and one that cannot be parsed.
        (
            [("root", "ALARM(root) OR ALARM(leaf)"), ("middle", "ALARM(")],
            "alarm middle: ALARM; alarm root: ALARM, and 1 alarm that it includes",
        ),
    ] {
        let mut world = World::new(&json!({ "gates": { "alarms": ["leaf", "middle", "root"] }, "interval": "5m" }));
        let names = ["leaf", "middle", "root"];
        world.facts.alarms = SourceReading::Known(names.map(|name| alarm(name, AlarmState::Ok)).into());
        world.run();
        let mut alarms = vec![alarm("leaf", AlarmState::Alarm)];
        alarms.extend(rules.map(|(name, rule)| composite(name, rule)));
        world.facts.alarms = SourceReading::Known(alarms);
        world.now += jiff::SignedDuration::from_mins(1);
        world.pass();
        assert_eq!(world.record().failure.as_ref().map(|failure| failure.text.as_str()), Some(expected), "{rules:?}");
    }
}

#[test]
fn failures_are_counted_per_period_up_to_the_limit() {
    let mut world = watching(&json!({ "errorRatio": { "max": "1%" }, "minRequests": 1, "failAfter": 3 }));
    for minute in 1..=3 {
        world.now += jiff::SignedDuration::from_mins(1);
        world.set_metric("recs-v2", Measure::Requests, 100.0);
        world.set_metric("recs-v2", Measure::Errors, 50.0);
        // Several evaluations in one period count once.
        world.pass();
        world.pass();
        assert_eq!(world.weights(ALL) == [100, 0], minute == 3, "minute {minute}: {:?}", result(&world));
    }
}

/// The requests of the callers are added up, and never added to those of all callers together.
#[test]
fn requests_and_failures_are_summed_over_callers() {
    let gate = json!({ "errorRatio": { "max": "1%" }, "minRequests": 150, "failAfter": 1 });
    // Requests and failed requests a minute from `web` and `batch`.
    for (web, batch, expected) in [
        ([100.0, 0.0], [100.0, 0.0], GateResult::Pass),
        ([100.0, 0.0], [100.0, 4.0], GateResult::Fail),
        // One caller alone would fail, and both together pass.
        ([990.0, 0.0], [10.0, 1.0], GateResult::Pass),
        ([50.0, 0.0], [20.0, 0.0], GateResult::Unknown),
    ] {
        let mut world = watching(&gate);
        world.now += jiff::SignedDuration::from_mins(2);
        for (caller, [requests, errors]) in [("web", web), ("batch", batch)] {
            world.set_caller_metric(caller, "recs-v2", Measure::Requests, requests);
            world.set_caller_metric(caller, "recs-v2", Measure::Errors, errors);
        }
        // The series of all callers together counts the same requests.
        world.set_metric("recs-v2", Measure::Requests, web[0] + batch[0]);
        world.set_metric("recs-v2", Measure::Errors, web[1] + batch[1]);
        world.pass();
        if expected == GateResult::Fail {
            assert_eq!(world.record().failure.as_ref().unwrap().code, "GateFailed", "{web:?} {batch:?}");
        } else {
            assert_eq!(result(&world).0, expected, "{web:?} {batch:?}: {}", result(&world).1);
        }
    }
}

#[test]
fn unreadable_caller_has_no_result() {
    let mut world = watching(&json!({ "errorRatio": { "max": "1%" }, "minRequests": 1 }));
    world.now += jiff::SignedDuration::from_mins(2);
    for caller in ["web", "batch"] {
        world.set_caller_metric(caller, "recs-v2", Measure::Requests, 100.0);
        world.set_caller_metric(caller, "recs-v2", Measure::Errors, 0.0);
    }
    let of_batch = |reading: &&mut rollouts::MetricReading| {
        reading.series.caller.as_ref().is_some_and(|caller| caller.caller.name() == "batch")
    };
    world.facts.metrics.iter_mut().filter(of_batch).for_each(|it| it.data = SourceReading::Unread("denied".to_owned()));
    world.pass();
    assert_eq!(result(&world).0, GateResult::Unknown);
    assert!(result(&world).1.contains("from batch cannot be read: denied"), "{}", result(&world).1);
}

#[test]
fn slowest_caller_counts_for_response_times() {
    let gate = json!({ "latency": { "stat": "p99", "max": "500ms" }, "minRequests": 1, "failAfter": 1 });
    let p99 = || Measure::Latency("p99".to_owned());
    // Response times from `web` and `batch`; `None` without data.
    for (web, batch, expected) in [
        (Some(100.0), Some(499.0), GateResult::Pass),
        (Some(100.0), Some(501.0), GateResult::Fail),
        (Some(100.0), None, GateResult::Unknown),
    ] {
        let mut world = watching(&gate);
        world.now += jiff::SignedDuration::from_mins(2);
        for (caller, millis) in [("web", web), ("batch", batch)] {
            world.set_caller_metric(caller, "recs-v2", Measure::Requests, 100.0);
            world.set_caller_metric(caller, "recs-v2", p99(), millis.unwrap_or_default());
        }
        if batch.is_none() {
            let missing = world.facts.metrics.last_mut().unwrap();
            missing.data = SourceReading::Known(Vec::new());
        }
        world.pass();
        let failed = world.record().failure.is_some();
        assert_eq!(failed, expected == GateResult::Fail, "{web:?} {batch:?}");
        if !failed {
            assert_eq!(result(&world).0, expected, "{web:?} {batch:?}: {}", result(&world).1);
        }
    }
}

#[test]
fn response_times_are_those_of_the_latest_period() {
    let gate = json!({ "latency": { "stat": "p99", "max": "500ms" }, "minRequests": 1, "failAfter": 1 });
    for (millis, fails) in [(499.0, false), (501.0, true)] {
        let mut world = watching(&gate);
        world.now += jiff::SignedDuration::from_mins(2);
        world.set_metric("recs-v2", Measure::Requests, 100.0);
        world.set_metric("recs-v2", Measure::Latency("p99".to_owned()), millis);
        world.pass();
        assert_eq!(world.record().failure.is_some(), fails, "{millis}");
    }
}

/// Unreadable and missing data never pass, stop the clock, pause, and end in a rollback.
#[test]
fn no_data_fails_closed() {
    let gate = json!({ "errorRatio": { "max": "1%" }, "minRequests": 1 });
    for reading in [SourceReading::Known(Vec::new()), SourceReading::Unread("denied".to_owned())] {
        let mut world = watching(&gate);
        for node in ["recs-v1", "recs-v2"] {
            for measure in [Measure::Requests, Measure::Errors] {
                world.set_metric(node, measure, 0.0);
            }
        }
        world.facts.metrics.iter_mut().for_each(|metric| metric.data = reading.clone());
        world.minutes(9);
        assert_eq!((world.state(), world.code().as_str()), (RolloutState::Watching, "GateNoData"));
        assert_eq!(world.record().passed, jiff::SignedDuration::ZERO, "the clock stands still");
        world.minutes(2);
        assert_eq!((world.state(), world.pages.clone()), (RolloutState::Paused, vec!["GateNoData".to_owned()]));
        world.minutes(62);
        assert_eq!(world.weights(ALL), [100, 0]);
        assert_eq!(world.record().failure.as_ref().unwrap().code, "RolloutStalled");
    }
}

#[test]
fn data_that_returns_resumes_the_rollout() {
    let mut world = World::new(&json!({}));
    world.run();
    world.set_alarm(AlarmState::InsufficientData);
    world.minutes(12);
    assert_eq!(world.state(), RolloutState::Paused);
    world.set_alarm(AlarmState::Ok);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::Watching, vec![90, 10]));
    world.minutes(5);
    assert_eq!(world.weights(ALL), [50, 50]);
}

#[test]
fn muted_missing_and_unknown_alarms_have_no_result() {
    let mut muted = alarm("checkout", AlarmState::Alarm);
    muted.mute_rule = Some("deployment".to_owned());
    let unknown = alarm("checkout", AlarmState::Unrecognised("PAUSED".to_owned()));
    for alarms in [vec![muted], vec![unknown], Vec::new()] {
        let mut world = World::new(&json!({}));
        world.run();
        world.facts.alarms = SourceReading::Known(alarms.clone());
        world.minutes(5);
        assert_eq!((world.weights(ALL), result(&world).0), (vec![90, 10], GateResult::Unknown), "{alarms:?}");
    }
}

#[test]
fn first_failure_is_never_replaced() {
    let mut world = World::new(&json!({}));
    world.run();
    world.set_alarm(AlarmState::Alarm);
    world.pass();
    world.set_alarm(AlarmState::Ok);
    world.minutes(3);
    assert_eq!(world.state(), RolloutState::RolledBack, "an alarm that is OK again changes nothing");
    assert_eq!(world.record().failure.as_ref().unwrap().code, "GateFailed");
}

#[test]
fn rollout_without_gates_needs_a_reason_and_is_watched_for_its_interval() {
    let mut world = World::new(&json!({ "gates": null, "ungated": "an internal tool" }));
    world.run();
    world.minutes(4);
    assert_eq!(world.weights(ALL), [90, 10]);
    world.minutes(12);
    assert_eq!(world.state(), RolloutState::Promoted);
}
