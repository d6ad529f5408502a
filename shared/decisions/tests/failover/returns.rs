//! How a drained node comes back: when the dwell begins, what proves each step, and what happens where nothing can.

use decisions::failover::{AlarmData, HoldReason, KeepReason, Phase, ProofGap, Verdict};
use mesh::alarm::{AlarmName, AlarmState, Comparison, Condition, EvaluationState, MetricData, MetricUse, MissingData};

use crate::world::{World, code, node, route};

const PROBE: &str = "failback: {probeWithoutProof: {after: 30m, tries: 2, window: 4h}}";

/// A route of two nodes of which the first has just been drained.
fn drained(policy: &str, missing_data: MissingData) -> World {
    let mut world = World::new(&["recs v1:50 v2:50"], policy);
    for name in ["v1", "v2"] {
        world.alarm(name, AlarmState::Ok);
    }
    world.wake();
    world.wait(60);
    world.alarm("v1", AlarmState::Alarm);
    set_missing_data(&mut world, missing_data);
    world.wake();
    assert_eq!(world.weights("recs"), [0, 100]);
    world
}

/// Setting the state of an alarm creates a new alarm, so set this afterwards.
fn set_missing_data(world: &mut World, missing_data: MissingData) {
    world.change_alarm("v1", |alarm| {
        alarm.condition = Some(Condition {
            comparison: Comparison::GreaterThanThreshold,
            threshold: Some(5.0),
            band: None,
            evaluation_periods: Some(3),
            datapoints_to_alarm: None,
            missing_data,
        });
    });
}

fn turn(world: &mut World, state: AlarmState, missing_data: MissingData) {
    world.alarm("v1", state);
    set_missing_data(world, missing_data);
}

fn codes(world: &mut World, minutes: usize) -> Vec<String> {
    let mut codes = Vec::new();
    for _ in 0..minutes {
        world.wait(60);
        let code = code(&world.verdict("recs"));
        world.wake();
        if codes.last() != Some(&code) {
            codes.push(code);
        }
    }
    codes
}

#[test]
fn dwell_runs_from_the_last_alarm_whatever_states_follow() {
    let mut world = drained("", MissingData::NotBreaching);
    world.alarm("v1", AlarmState::Ok);
    world.wake();
    let mut minutes = 0;
    while world.weights("recs") == [0, 100] {
        minutes += 1;
        assert!(minutes < 10, "the dwell of five minutes never ends");
        world.wait(60);
        let state = if minutes % 2 == 0 { AlarmState::Ok } else { AlarmState::InsufficientData };
        world.alarm("v1", state);
        world.wake();
    }
    assert_eq!(minutes, 5);
}

#[test]
fn dwell_starts_again_with_each_alarm() {
    let mut world = drained("", MissingData::NotBreaching);
    world.alarm("v1", AlarmState::Ok);
    world.minutes(4);
    world.alarm("v1", AlarmState::Alarm);
    world.minutes(1);
    world.alarm("v1", AlarmState::Ok);
    world.minutes(4);
    assert_eq!(world.weights("recs"), [0, 100]);
    world.minutes(1);
    assert_eq!(world.weights("recs"), [5, 95]);
}

#[test]
fn ok_of_an_alarm_that_was_not_evaluated_is_no_health() {
    for evaluation in [
        EvaluationState::PartialData,
        EvaluationState::EvaluationFailure,
        EvaluationState::EvaluationError,
        EvaluationState::Unrecognised("NEW".to_owned()),
    ] {
        // It may not receive, ...
        let mut receiver = World::new(&["recs v1:50 v2:50"], "");
        receiver.alarm("v1", AlarmState::Alarm);
        receiver.alarm("v2", AlarmState::Ok);
        receiver.change_alarm("v2", |alarm| alarm.evaluation = Some(evaluation.clone()));
        assert_eq!(code(&receiver.verdict("recs")), "NothingEligible", "{evaluation:?}");

        // ... it may not come back, ...
        let mut returning = drained("", MissingData::NotBreaching);
        returning.alarm("v1", AlarmState::Ok);
        returning.change_alarm("v1", |alarm| alarm.evaluation = Some(evaluation.clone()));
        returning.minutes(10);
        assert_eq!(code(&returning.verdict("recs")), "NoVerdict", "{evaluation:?}");
        assert_eq!(returning.weights("recs"), [0, 100]);

        // ... and its next step is not proven.
        let mut stepping = drained("", MissingData::NotBreaching);
        stepping.alarm("v1", AlarmState::Ok);
        stepping.minutes(5);
        assert_eq!(stepping.weights("recs"), [5, 95]);
        stepping.change_alarm("v1", |alarm| alarm.evaluation = Some(evaluation.clone()));
        stepping.minutes(10);
        assert_eq!(code(&stepping.verdict("recs")), "Unproven", "{evaluation:?}");
    }
}

#[test]
fn alarm_state_counts_even_if_its_evaluation_had_partial_data() {
    for evaluation in
        [EvaluationState::PartialData, EvaluationState::EvaluationFailure, EvaluationState::EvaluationError]
    {
        let mut world = World::new(&["recs v1:50 v2:50"], "");
        world.alarm("v1", AlarmState::Alarm);
        world.change_alarm("v1", |alarm| alarm.evaluation = Some(evaluation.clone()));
        world.alarm("v2", AlarmState::Ok);
        assert_eq!(code(&world.verdict("recs")), "Failover", "{evaluation:?}: CloudWatch acts on it, too");
    }
}

fn counted(usage: MetricUse, points: u32) -> MetricData {
    let metric = format!("AppMesh/{usage:?}");
    MetricData { metric, account: None, usage, points, above_zero: points, unreadable: None }
}

fn has_data(world: &mut World, metrics: Vec<MetricData>) {
    let data = AlarmData { alarm: AlarmName::parse("v1").unwrap(), metrics, unreadable: None };
    world.alarm_data.insert(node("v1"), vec![data]);
}

#[test]
fn step_is_proven_by_published_data_and_names_what_is_missing() {
    let returning = || {
        let mut world = drained("", MissingData::NotBreaching);
        world.alarm("v1", AlarmState::Ok);
        world.minutes(5);
        assert_eq!(world.weights("recs"), [5, 95]);
        world
    };
    let mut proven = returning();
    has_data(&mut proven, vec![counted(MetricUse::Errors, 0), counted(MetricUse::Volume, 2)]);
    proven.minutes(2);
    assert_ne!(proven.weights("recs"), [5, 95]);

    let mut filled = returning();
    has_data(&mut filled, vec![counted(MetricUse::Errors, 0)]);
    filled.minutes(60);
    assert_eq!(filled.weights("recs"), [5, 95]);
    let Verdict::Hold(HoldReason::Unproven { missing, .. }) = filled.verdict("recs") else { panic!("unproven") };
    assert_eq!(
        (missing[0].metric.as_deref(), &missing[0].why),
        (Some("AppMesh/Errors"), &ProofGap::TooFewPoints { points: 0 })
    );

    // Data of an alarm that is not `OK` proves nothing.
    let mut other = returning();
    has_data(&mut other, vec![counted(MetricUse::Volume, 2)]);
    other.alarm("v1", AlarmState::InsufficientData);
    other.minutes(10);
    assert_eq!(code(&other.verdict("recs")), "Unproven");
}

#[test]
fn alarm_that_cannot_clear_is_named() {
    for (missing_data, stuck) in [
        (MissingData::Ignore, true),
        (MissingData::Breaching, true),
        (MissingData::Missing, false),
        (MissingData::NotBreaching, false),
    ] {
        let mut world = drained("", missing_data.clone());
        world.minutes(600);
        let Verdict::Keep(KeepReason::AlreadyShifted { stuck: found, .. }) = world.verdict("recs") else { panic!() };
        assert_eq!(!found.is_empty(), stuck, "{missing_data:?}");
        assert_eq!(world.weights("recs"), [0, 100], "no probe without the policy");
    }
}

#[test]
fn probe_without_proof_brings_a_node_back_whose_alarm_clears() {
    let mut world = drained(PROBE, MissingData::Ignore);
    world.minutes(29);
    assert_eq!(world.weights("recs"), [0, 100]);
    world.minutes(1);
    assert_eq!(world.weights("recs"), [5, 95]);
    assert!(matches!(
        world.routes[&route("recs")].record.as_ref().unwrap().shift.phases[&node("v1")],
        Phase::Returning { trial: true, .. }
    ));
    // It needs three periods of data to clear.
    world.minutes(2);
    assert_eq!(code(&world.verdict("recs")), "InsideStep");
    turn(&mut world, AlarmState::Ok, MissingData::Ignore);
    assert_eq!(codes(&mut world, 8), ["Failback", "InsideStep", "Failback", "InsideStep", "Restore", "Steady"]);
    assert_eq!(world.weights("recs"), [50, 50]);
}

#[test]
fn probe_without_proof_ends_with_its_step_and_is_tried_only_so_often() {
    let mut world = drained(PROBE, MissingData::Breaching);
    let mut probes = 0;
    let mut minutes_with_traffic = 0;
    for _ in 0..4 * 60 {
        let before = world.weights("recs");
        world.minutes(1);
        let now = world.weights("recs");
        probes += usize::from(before == [0, 100] && now == [5, 95]);
        minutes_with_traffic += usize::from(now == [5, 95]);
    }
    assert_eq!((probes, minutes_with_traffic), (2, 2 * 3), "two tries of three periods each within four hours");
    // The window moves on.
    world.minutes(60);
    assert_ne!(world.routes[&route("recs")].record.as_ref().unwrap().trials[&node("v1")].len(), 0);
    assert_eq!(
        world.routes[&route("recs")].record.as_ref().unwrap().drains[&node("v1")].len(),
        1,
        "tries are no failures"
    );
}

#[test]
fn probe_without_proof_ends_at_once_when_another_alarm_goes_on() {
    let mut world = drained(PROBE, MissingData::Ignore);
    world.minutes(30);
    assert_eq!(world.weights("recs"), [5, 95]);
    world.add_policy("\nbindings: [{alarm: v1-latency, mesh: shop, virtualNode: v1}]");
    world.plain_alarm("v1-latency", AlarmState::Alarm);
    assert_eq!(code(&world.verdict("recs")), "BackDown");
}

#[test]
fn node_that_fails_by_data_is_never_probed_without_proof() {
    let mut world = drained(PROBE, MissingData::Ignore);
    world.add_policy("\nbindings: [{alarm: v1-latency, mesh: shop, virtualNode: v1}]");
    world.plain_alarm("v1-latency", AlarmState::Alarm);
    world.minutes(120);
    assert_eq!(world.weights("recs"), [0, 100]);
}

#[test]
fn trial_without_data_is_drained_again() {
    let mut world = drained(PROBE, MissingData::Ignore);
    world.minutes(30);
    assert_eq!(world.weights("recs"), [5, 95]);
    turn(&mut world, AlarmState::Ok, MissingData::Ignore);
    world.silent.insert(node("v1"));
    assert_eq!(codes(&mut world, 3), ["InsideStep", "TrialEnded", "InsideDwell"]);
    assert_eq!(world.weights("recs"), [0, 100]);
}
