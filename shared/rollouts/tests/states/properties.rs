//! Random histories: the percent rises only after an acknowledgement and passed gates, never after a failure, and every
//! state that is not final ends or pages within its deadline.

use mesh::alarm::AlarmState;
use mesh::certificates::SourceReading;
use policy::Mode;
use proptest::prelude::*;
use rollouts::{CommandKind, HookAnswer, RolloutState, command};
use serde_json::json;

use crate::world::{ALL, BETA, World, route, split};

/// What happens in one minute.
#[derive(Clone, Debug)]
enum Happens {
    Nothing,
    Alarm(AlarmState),
    AlarmsUnread,
    Callers(bool),
    NoCallers,
    Proxies(usize),
    Kill(bool),
    Mode(Mode),
    Command(CommandKind),
    WritesFail(bool),
    Hook(bool),
    Edit,
    Minutes(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => Just(Happens::Nothing),
        2 => Just(Happens::Alarm(AlarmState::Ok)),
        1 => Just(Happens::Alarm(AlarmState::Alarm)),
        1 => Just(Happens::Alarm(AlarmState::InsufficientData)),
        1 => Just(Happens::AlarmsUnread),
        2 => any::<bool>().prop_map(Happens::Callers),
        1 => Just(Happens::NoCallers),
        1 => (0_usize..3).prop_map(Happens::Proxies),
        1 => any::<bool>().prop_map(Happens::Kill),
        1 => prop_oneof![Just(Mode::Observe), Just(Mode::Enforce)].prop_map(Happens::Mode),
        2 => prop_oneof![
            Just(CommandKind::Pause), Just(CommandKind::Resume), Just(CommandKind::Approve),
            Just(CommandKind::Promote), Just(CommandKind::Abort),
        ].prop_map(Happens::Command),
        1 => any::<bool>().prop_map(Happens::WritesFail),
        1 => any::<bool>().prop_map(Happens::Hook),
        1 => Just(Happens::Edit),
        4 => (1_i64..8).prop_map(Happens::Minutes),
    ]
}

fn world() -> World {
    let mut world = World::new(&json!({
        "routes": ["recs/all", "recs/beta"],
        "steps": [10, { "percent": 50, "approve": true }],
        "hooks": [{ "stage": "step", "function": "check", "timeout": "5m" }],
    }));
    world.answers = vec![HookAnswer::parse(&json!({ "hookStatus": "SUCCEEDED" }))];
    world
}

fn apply(world: &mut World, happens: &Happens) {
    match happens {
        Happens::Nothing => {}
        Happens::Alarm(state) => world.set_alarm(state.clone()),
        Happens::AlarmsUnread => world.facts.alarms = SourceReading::Unread("throttled".to_owned()),
        Happens::Callers(is_up_to_date) => world.callers(|stream| stream.up_to_date = *is_up_to_date),
        Happens::NoCallers => world.set_proxies("web", 0),
        Happens::Proxies(count) => {
            world.set_proxies("web", 1);
            world.set_proxies("recs-v2", *count);
        }
        Happens::Kill(is_on) => world.kill(*is_on),
        Happens::Mode(mode) => world.facts.mode = *mode,
        Happens::Command(kind) => {
            if let Ok(record) = command(&world.facts.record, *kind, "dana", world.now) {
                world.facts.record = record;
            }
        }
        Happens::WritesFail(fail) => world.writes_fail = *fail,
        Happens::Hook(succeeds) => {
            let status = if *succeeds { "SUCCEEDED" } else { "IN_PROGRESS" };
            world.answers = vec![HookAnswer::parse(&json!({ "hookStatus": status }))];
        }
        Happens::Edit => {
            let facts = world.facts.routes.get_mut(&route(ALL)).unwrap().as_mut().unwrap();
            (facts.split, facts.version) = (split([70, 30]), facts.version + 1);
        }
        Happens::Minutes(count) => {
            for _ in 0..*count {
                world.now += jiff::SignedDuration::from_mins(1);
                checked_run(world);
            }
        }
    }
}

/// One run, with the properties checked at each pass.
fn checked_run(world: &mut World) {
    for _ in 0..4 {
        let before = world.record().clone();
        let percents = [ALL, BETA].map(|id| world.percent(id).unwrap_or(0));
        let callers_acknowledged = matches!(&world.facts.proxies, rollouts::ProxyFacts::Read { streams, .. }
            if streams.iter().filter(|stream| stream.proxy.to_string().ends_with("/web")).all(|stream| stream.up_to_date));
        let alarm_is_ok = matches!(&world.facts.alarms, SourceReading::Known(alarms)
            if alarms.iter().all(|alarm| alarm.state == AlarmState::Ok));
        let has_written = world.pass();
        for (id, old) in [ALL, BETA].into_iter().zip(percents) {
            let new = world.percent(id).unwrap_or(0);
            if new > old {
                assert!(before.failure.is_none() && world.record().failure.is_none(), "rose after a failure");
                assert!(world.facts.mode == Mode::Enforce && world.facts.kill_switch.is_none());
                // The first step follows the checks before the start. A later step follows an acknowledged one; a step that
                // is written again, or to several routes, was permitted before.
                if world.record().step > before.step && before.state != RolloutState::Waiting {
                    let was_skipped = before.command.is_some();
                    assert!(before.started.is_some() || callers_acknowledged || was_skipped, "no acknowledgement");
                    assert!(alarm_is_ok || was_skipped, "rose without a passed gate");
                }
            }
            let weights = world.weights(id);
            assert!(weights.iter().any(|weight| *weight > 0), "a route was drained to nothing");
        }
        if world.state() == RolloutState::RolledBack {
            assert!(world.percent(BETA).is_none() && world.weights(BETA) == [100, 0], "not the split before");
        }
        if before.failure.is_some() {
            assert_eq!(world.record().failure, before.failure, "the first failure is kept");
        }
        if !has_written {
            break;
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn percent_rises_only_on_evidence(history in prop::collection::vec(happens(), 1..40)) {
        let mut world = world();
        for happens in &history {
            apply(&mut world, happens);
            world.now += jiff::SignedDuration::from_mins(1);
            checked_run(&mut world);
        }
    }

    /// Once the surroundings of a rollout no longer change, it ends or has paged.
    #[test]
    fn every_rollout_ends_or_pages(history in prop::collection::vec(happens(), 1..30)) {
        let mut world = world();
        for happens in &history {
            apply(&mut world, happens);
            world.now += jiff::SignedDuration::from_mins(1);
            checked_run(&mut world);
        }
        // The kill switch is the operator's own, and has its own page.
        world.kill(false);
        // The longest pause, an edit's hold, and some runs.
        for _ in 0..26 * 20 {
            world.now += jiff::SignedDuration::from_mins(3);
            world.run();
            if world.state().is_final() {
                break;
            }
        }
        prop_assert!(
            world.state().is_final() || !world.pages.is_empty(),
            "{} because of {}", world.state().name(), world.code()
        );
    }

    /// A second run at the same time changes nothing.
    #[test]
    fn repeated_run_changes_nothing(history in prop::collection::vec(happens(), 1..20)) {
        let mut world = world();
        for happens in &history {
            apply(&mut world, happens);
            world.now += jiff::SignedDuration::from_mins(1);
            checked_run(&mut world);
        }
        world.run();
        let (record, weights) = (world.record().clone(), [world.weights(ALL), world.weights(BETA)]);
        world.run();
        prop_assert_eq!(world.record(), &record);
        prop_assert_eq!([world.weights(ALL), world.weights(BETA)], weights);
    }
}
