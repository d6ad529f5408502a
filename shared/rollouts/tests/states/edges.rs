//! The way of a rollout through its states, and what leads out of each.

use std::collections::BTreeMap;

use decisions::failover::RouteRecord;
use decisions::weights::{Edit, EndReason, Phase};
use mesh::alarm::AlarmState;
use rollouts::{ProxyFacts, RolloutState};
use serde_json::json;

use crate::world::{ALL, BETA, World, at, route, split};

#[test]
fn canary_is_promoted_after_all_steps() {
    let mut world = World::new(&json!({}));
    world.run();
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::Watching, vec![90, 10]));
    world.minutes(4);
    assert_eq!(world.weights(ALL), [90, 10], "the interval is not over");
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::Watching, vec![50, 50]));
    world.minutes(5);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::Bake, vec![0, 100]));
    world.minutes(5);
    assert_eq!(world.state(), RolloutState::Promoted);
    let record = world.route_record(ALL);
    assert_eq!((record.declared().weights(), record.layers.rollout.is_some()), (vec![0, 100], false));
    assert_eq!(world.pages, Vec::<String>::new());
}

#[test]
fn first_routes_go_to_100_percent_before_the_others() {
    let members =
        json!({ "routes": ["recs/all", "recs/beta"], "first": { "routes": ["recs/beta"], "interval": "5m" } });
    let mut world = World::new(&members);
    world.run();
    assert_eq!((world.weights(BETA), world.weights(ALL)), (vec![0, 100], vec![100, 0]));
    assert_eq!(world.percent(ALL), None);
    world.minutes(5);
    assert_eq!((world.weights(BETA), world.weights(ALL)), (vec![0, 100], vec![90, 10]));
    world.set_alarm(AlarmState::Alarm);
    world.minutes(1);
    assert_eq!((world.weights(BETA), world.weights(ALL)), (vec![100, 0], vec![100, 0]));
    assert_eq!(world.state(), RolloutState::RolledBack);
}

#[test]
fn gate_that_fails_in_any_state_with_weight_rolls_back_to_the_exact_split() {
    for state in [RolloutState::Watching, RolloutState::Bake, RolloutState::Confirming, RolloutState::Paused] {
        let mut world = World::new(&json!({}));
        let declared = [100, 0];
        match state {
            RolloutState::Confirming => {
                world.run();
                world.callers(|stream| stream.up_to_date = false);
                world.minutes(5);
                // The next step is written, and not acknowledged.
                assert_eq!(world.state(), RolloutState::Confirming);
            }
            RolloutState::Paused => {
                world.until(RolloutState::Watching);
                world.command(rollouts::CommandKind::Pause);
                world.minutes(1);
            }
            other => world.until(other),
        }
        world.set_alarm(AlarmState::Alarm);
        world.callers(|stream| stream.up_to_date = true);
        world.minutes(1);
        assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, declared.to_vec()), "{state:?}");
        assert_eq!(world.record().failure.as_ref().unwrap().code, "GateFailed", "{state:?}");
        assert_eq!(world.pages, ["GateFailed"], "{state:?}");
        let record = world.route_record(ALL);
        let end = record.layers.end_of(decisions::weights::LayerKind::Rollout, "r1").unwrap();
        assert_eq!(end.reason, EndReason::RolledBack);
    }
}

#[test]
fn step_counts_from_the_acknowledgement() {
    let mut world = World::new(&json!({}));
    world.run();
    world.minutes(5);
    world.callers(|stream| stream.up_to_date = false);
    assert_eq!(world.weights(ALL), [50, 50]);
    world.facts.record.state = RolloutState::Confirming;
    world.facts.record.since = world.now;
    world.facts.record.started = None;
    world.minutes(1);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Confirming, "NotAcknowledged"));
    world.minutes(1);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Paused, "Unacknowledged"));
    assert_eq!(world.pages, ["Unacknowledged"]);
    world.callers(|stream| stream.up_to_date = true);
    world.minutes(1);
    assert_eq!(world.state(), RolloutState::Watching);
    assert_eq!(world.record().started, Some(world.now));
}

#[test]
fn rejected_configuration_rolls_back() {
    let mut world = World::new(&json!({}));
    world.run();
    world.facts.record.state = RolloutState::Confirming;
    world.callers(|stream| {
        stream.up_to_date = false;
        stream.rejected = Some("unknown cluster".to_owned());
    });
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RollingBack, vec![100, 0]));
    assert_eq!(world.record().failure.as_ref().unwrap().code, "ProxyRefused");
    world.callers(|stream| stream.up_to_date = true);
    world.minutes(1);
    assert_eq!(world.state(), RolloutState::RolledBack);
}

#[test]
fn server_without_reports_of_proxies_counts_the_propagation() {
    let mut world = World::new(&json!({}));
    world.facts.proxies = ProxyFacts::Unsupported;
    world.run();
    assert_eq!(world.state(), RolloutState::Confirming);
    world.minutes(1);
    assert_eq!((world.state(), world.record().started), (RolloutState::Watching, Some(at(1))));
}

#[test]
fn unreadable_proxies_are_no_acknowledgement() {
    let mut world = World::new(&json!({}));
    world.run();
    world.facts.record.state = RolloutState::Confirming;
    world.facts.record.since = world.now;
    world.facts.proxies = ProxyFacts::Unread { why: "denied".to_owned() };
    world.minutes(3);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Paused, "Unacknowledged"));
    world.minutes(60);
    assert_eq!(world.weights(ALL), [100, 0]);
    assert_eq!(world.record().failure.as_ref().unwrap().code, "RolloutStalled");
}

type Change = Box<dyn Fn(&mut RouteRecord)>;

/// What other writers do to the route, and how the rollout ends.
#[test]
fn other_writers_end_the_rollout() {
    let end = |reason: EndReason| {
        move |record: &mut RouteRecord| {
            record.layers.end_rollout(reason, at(2));
            record.split = split([100, 0]);
        }
    };
    let cases: [(EndReason, Change, RolloutState); 6] = [
        (EndReason::TargetFailed, Box::new(end(EndReason::TargetFailed)), RolloutState::RolledBack),
        (EndReason::Interrupted, Box::new(end(EndReason::Interrupted)), RolloutState::Interrupted),
        (EndReason::Aborted, Box::new(end(EndReason::Aborted)), RolloutState::RolledBack),
        (EndReason::DeclaredChanged, Box::new(end(EndReason::DeclaredChanged)), RolloutState::Interrupted),
        (EndReason::Unattended, Box::new(end(EndReason::Unattended)), RolloutState::RolledBack),
        (EndReason::RolledBack, Box::new(end(EndReason::RolledBack)), RolloutState::RolledBack),
    ];
    for (reason, change, expected) in cases {
        let mut world = World::new(&json!({ "routes": ["recs/all", "recs/beta"] }));
        world.run();
        assert_eq!(world.weights(BETA), [90, 10]);
        let mut record = world.route_record(ALL);
        change(&mut record);
        let facts = world.facts.routes.get_mut(&route(ALL)).unwrap().as_mut().unwrap();
        facts.split = split([100, 0]);
        world.store(&route(ALL), record);
        world.minutes(1);
        assert_eq!((world.state(), world.weights(BETA)), (expected, vec![100, 0]), "{reason:?}: the other route, too");
    }
}

#[test]
fn edit_by_an_operator_interrupts() {
    let mut world = World::new(&json!({}));
    world.run();
    let facts = world.facts.routes.get_mut(&route(ALL)).unwrap().as_mut().unwrap();
    (facts.split, facts.version) = (split([30, 70]), facts.version + 1);
    world.minutes(2);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::Interrupted, vec![30, 70]));
}

#[test]
fn deleted_route_and_other_targets_interrupt() {
    for is_deleted in [true, false] {
        let mut world = World::new(&json!({}));
        world.run();
        let facts = world.facts.routes.get_mut(&route(ALL)).unwrap();
        if is_deleted {
            *facts = None;
        } else {
            facts.as_mut().unwrap().uid = "another".to_owned();
        }
        world.minutes(2);
        assert_eq!(world.state(), RolloutState::Interrupted, "deleted: {is_deleted}");
        assert_eq!(world.record().failure.as_ref().unwrap().code, "RouteChanged");
    }
}

#[test]
fn hold_freezes_the_step_and_it_is_watched_again() {
    let mut world = World::new(&json!({}));
    world.run();
    world.minutes(3);
    let mut record = world.route_record(ALL);
    record.edit = Some(Edit { seen: world.now, until: world.now + jiff::SignedDuration::from_mins(10) });
    world.store(&route(ALL), record);
    world.minutes(9);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Paused, "PersonEdited"));
    assert_eq!(world.weights(ALL), [90, 10]);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::Watching, vec![90, 10]));
    world.minutes(4);
    assert_eq!(world.weights(ALL), [90, 10], "the step is watched again as a whole");
    world.minutes(1);
    assert_eq!(world.weights(ALL), [50, 50]);
}

#[test]
fn rollback_waits_for_a_hold_and_pages() {
    let mut world = World::new(&json!({}));
    world.run();
    let mut record = world.route_record(ALL);
    record.edit = Some(Edit { seen: world.now, until: world.now + jiff::SignedDuration::from_mins(30) });
    world.store(&route(ALL), record);
    world.set_alarm(AlarmState::Alarm);
    world.minutes(20);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RollingBack, vec![90, 10]));
    assert_eq!(world.pages, ["RollbackFailed", "RollbackFailed"], "again after repeatAfter");
    world.minutes(11);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
    assert_eq!(world.record().failure.as_ref().unwrap().code, "GateFailed", "the first reason stays");
}

#[test]
fn failover_of_another_node_pauses_and_stalls_after_the_limit() {
    let mut world = World::new(&json!({}));
    world.run();
    let mut record = world.route_record(ALL);
    record.shift.phases = BTreeMap::from([("recs-v1".parse().unwrap(), Phase::drained(world.now))]);
    world.store(&route(ALL), record);
    world.minutes(1);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Paused, "FailoverActive"));
    let mut record = world.route_record(ALL);
    record.shift.phases.clear();
    world.store(&route(ALL), record.clone());
    world.minutes(1);
    assert_eq!(world.state(), RolloutState::Watching, "the node is back");
    record.shift.phases = BTreeMap::from([("recs-v3".parse().unwrap(), Phase::drained(world.now))]);
    world.store(&route(ALL), record);
    world.minutes(62);
    assert_eq!(world.record().failure.as_ref().unwrap().code, "RolloutStalled");
    assert_eq!(world.weights(ALL), [100, 0]);
}

#[test]
fn kill_switch_freezes_everything() {
    let mut world = World::new(&json!({}));
    world.run();
    world.kill(true);
    world.set_alarm(AlarmState::Alarm);
    let before = world.record().clone();
    world.minutes(30);
    assert_eq!((world.weights(ALL), world.code().as_str()), (vec![90, 10], "KillSwitchOn"));
    assert_eq!(world.record().state, before.state);
    world.kill(false);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
}

#[test]
fn failed_writes_are_repeated_and_stall_after_their_limit() {
    let mut world = World::new(&json!({}));
    world.run();
    world.writes_fail = true;
    world.minutes(16);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RollingBack, vec![90, 10]));
    assert_eq!(world.record().failure.as_ref().unwrap().code, "RolloutStalled");
    world.minutes(3);
    assert!(world.pages.iter().any(|page| page == "RollbackFailed"), "{:?}", world.pages);
    world.writes_fail = false;
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
}

#[test]
fn old_version_that_is_scaled_down_pauses() {
    let mut world = World::new(&json!({}));
    world.run();
    world.set_proxies("recs-v1", 0);
    world.minutes(1);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Paused, "FromScaledDown"));
    assert_eq!(world.pages, ["FromScaledDown"]);
    world.set_proxies("recs-v1", 2);
    world.minutes(1);
    assert_eq!(world.state(), RolloutState::Watching);
}

#[test]
fn too_few_new_proxies_stop_the_clock() {
    let mut world = World::new(&json!({ "strategy": "blue-green", "steps": null }));
    world.run();
    assert_eq!(world.state(), RolloutState::Bake);
    world.set_proxies("recs-v2", 0);
    world.minutes(8);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Bake, "TooFewProxies"));
    world.minutes(3);
    assert_eq!(world.state(), RolloutState::Paused);
    world.set_proxies("recs-v2", 1);
    world.minutes(6);
    assert_eq!(world.state(), RolloutState::Promoted);
}

#[test]
fn harm_of_a_later_step_rolls_back() {
    let mut world = World::new(&json!({}));
    world.run();
    world.harms =
        vec![decisions::failover::HarmFact { id: "dangling-reference".to_owned(), text: "v2 is missing".to_owned() }];
    world.minutes(5);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
    assert_eq!(world.record().failure.as_ref().unwrap().code, "Harmful");
}
