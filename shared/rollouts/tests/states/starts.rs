//! The states before the first write: what refuses a rollout, and what it waits for.

use decisions::failover::HarmFact;
use mesh::alarm::AlarmState;
use mesh::certificates::SourceReading;
use policy::Mode;
use rollouts::RolloutState;
use serde_json::{Value, json};

use crate::world::{ALL, World};

type Setting = fn(&mut World);

/// Nothing is written, and the rollout is refused at once with this code.
#[test]
fn rollout_is_refused_at_once() {
    let cases: [(Value, Setting, &str); 6] = [
        (
            json!({ "routes": ["recs/all"] }),
            |world| world.facts.routes.values_mut().for_each(|route| *route = None),
            "RequestInvalid",
        ),
        (json!({ "moves": [{ "from": "recs-v1", "to": "recs-v9" }] }), |_| {}, "RequestInvalid"),
        (json!({}), |world| world.set_alarm(AlarmState::Alarm), "GateFailingBeforeStart"),
        (
            json!({}),
            |world| world.harms = vec![HarmFact { id: "route-drained".to_owned(), text: "no target".to_owned() }],
            "Harmful",
        ),
        (json!({}), |world| other_rollout(world), "RolloutActive"),
        (json!({ "routes": { "virtualService": "recs.shop.local" } }), |_| {}, "RequestInvalid"),
    ];
    for (members, setting, code) in cases {
        let mut world = World::new(&members);
        setting(&mut world);
        world.minutes(2);
        assert_eq!(world.state(), RolloutState::Refused, "{code}");
        assert_eq!(world.record().failure.as_ref().unwrap().code, code);
        assert_eq!(world.pages, Vec::<String>::new(), "{code}");
    }
}

fn other_rollout(world: &mut World) {
    let mut other = World::new(&json!({ "id": "other" }));
    other.run();
    world.facts.routes = other.facts.routes;
}

/// The rollout waits with this code, starts when the cause is over, and is refused after `startWithin`.
#[test]
fn rollout_waits_for_its_start() {
    let cases: [(Setting, Setting, &str); 7] = [
        (|world| world.facts.mode = Mode::Observe, |world| world.facts.mode = Mode::Enforce, "ModeObserve"),
        (
            |world| world.facts.active = (0..3).map(|number| number.to_string()).collect(),
            |world| world.facts.active.clear(),
            "TooManyRollouts",
        ),
        (|world| world.facts.budget_used = 10, |world| world.facts.budget_used = 0, "BudgetSpent"),
        (
            |world| world.facts.alarms = SourceReading::Unread("denied".to_owned()),
            |world| world.set_alarm(AlarmState::Ok),
            "GateNoData",
        ),
        (|world| world.set_alarm(AlarmState::InsufficientData), |world| world.set_alarm(AlarmState::Ok), "GateNoData"),
        (
            |world| world.callers(|stream| stream.up_to_date = false),
            |world| world.callers(|stream| stream.up_to_date = true),
            "NotAcknowledged",
        ),
        (|world| world.set_proxies("web", 0), |world| world.set_proxies("web", 1), "NotAcknowledged"),
    ];
    for (setting, over, code) in cases {
        for is_over in [true, false] {
            let mut world = World::new(&json!({}));
            setting(&mut world);
            world.minutes(10);
            assert!(!world.state().is_final() && !world.state().has_weight(), "{code}");
            assert_eq!((world.code().as_str(), world.weights(ALL)), (code, vec![100, 0]));
            if is_over {
                over(&mut world);
                world.minutes(1);
                assert_eq!(world.weights(ALL), [90, 10], "{code}");
            } else {
                world.minutes(51);
                assert_eq!((world.state(), world.weights(ALL)), (RolloutState::Refused, vec![100, 0]), "{code}");
                assert_eq!(world.record().failure.as_ref().unwrap().code, code);
            }
        }
    }
}

#[test]
fn only_the_first_write_spends_the_budget() {
    let mut world = World::new(&json!({ "routes": ["recs/all", "recs/beta"] }));
    let mut spent = 0;
    world.pass();
    spent += world.decision.as_ref().unwrap().plans.iter().filter(|plan| plan.spends).count();
    assert_eq!(spent, 1);
    for _ in 0..30 {
        world.now += jiff::SignedDuration::from_mins(1);
        while world.pass() {
            spent += world.decision.as_ref().unwrap().plans.iter().filter(|plan| plan.spends).count();
        }
    }
    assert_eq!((spent, world.state()), (1, RolloutState::Promoted));
}

#[test]
fn mode_observe_during_a_rollout_pauses_it_and_a_rollback_is_still_made() {
    let mut world = World::new(&json!({}));
    world.run();
    world.facts.mode = Mode::Observe;
    world.minutes(6);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Paused, "ModeObserve"));
    world.set_alarm(AlarmState::Alarm);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
}
