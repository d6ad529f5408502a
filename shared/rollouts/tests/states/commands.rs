//! The commands of operators.

use mesh::alarm::AlarmState;
use rollouts::{CommandKind, RolloutState, command};
use serde_json::json;

use crate::world::{ALL, World};

#[test]
fn paused_rollout_resumes_and_watches_its_step_again() {
    let mut world = World::new(&json!({}));
    world.run();
    world.minutes(3);
    world.command(CommandKind::Pause);
    world.minutes(30);
    assert_eq!(
        (world.state(), world.code().as_str(), world.weights(ALL)),
        (RolloutState::Paused, "PersonPaused", vec![90, 10])
    );
    world.command(CommandKind::Resume);
    world.minutes(1);
    assert_eq!(world.state(), RolloutState::Watching);
    world.minutes(4);
    assert_eq!(world.weights(ALL), [90, 10]);
    world.minutes(1);
    assert_eq!(world.weights(ALL), [50, 50]);
}

#[test]
fn pause_of_an_operator_rolls_back_after_its_limit() {
    let mut world = World::new(&json!({}));
    world.run();
    world.command(CommandKind::Pause);
    world.minutes(24 * 60);
    assert_eq!(world.state(), RolloutState::Paused);
    world.minutes(3);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
    assert_eq!(world.record().failure.as_ref().unwrap().code, "RolloutStalled");
}

#[test]
fn approval_lets_a_step_end() {
    let mut world = World::new(&json!({ "steps": [{ "percent": 10, "approve": true }, 50] }));
    world.run();
    world.minutes(30);
    assert_eq!(
        (world.state(), world.code().as_str(), world.weights(ALL)),
        (RolloutState::Paused, "AwaitingApproval", vec![90, 10])
    );
    world.command(CommandKind::Approve);
    world.minutes(1);
    assert_eq!(world.weights(ALL), [50, 50]);
    let mut early = World::new(&json!({ "steps": [{ "percent": 10, "approve": true }, 50] }));
    early.run();
    early.command(CommandKind::Approve);
    early.minutes(4);
    assert_eq!(early.weights(ALL), [90, 10], "an approval does not shorten the interval");
    early.minutes(1);
    assert_eq!(early.weights(ALL), [50, 50]);
}

#[test]
fn end_can_wait_for_an_approval() {
    let mut world = World::new(&json!({ "strategy": "blue-green", "steps": null, "atEnd": "approve" }));
    world.run();
    world.minutes(60);
    assert_eq!((world.state(), world.code().as_str()), (RolloutState::Paused, "AwaitingApproval"));
    world.command(CommandKind::Approve);
    world.minutes(1);
    assert_eq!(world.state(), RolloutState::Promoted);
}

#[test]
fn promote_skips_the_steps_but_not_the_bake_time() {
    let mut world = World::new(&json!({}));
    world.run();
    world.command(CommandKind::Promote);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::Bake, vec![0, 100]));
    world.set_alarm(AlarmState::Alarm);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
}

#[test]
fn promote_does_not_overrule_a_failed_gate() {
    let mut world = World::new(&json!({}));
    world.run();
    world.set_alarm(AlarmState::Alarm);
    world.command(CommandKind::Promote);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
}

#[test]
fn abort_rolls_back_and_refuses_before_the_start() {
    let mut world = World::new(&json!({}));
    world.run();
    world.command(CommandKind::Abort);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL)), (RolloutState::RolledBack, vec![100, 0]));
    assert_eq!(world.record().failure.as_ref().unwrap().code, "Aborted");
    assert_eq!(world.pages, Vec::<String>::new());
    let mut early = World::new(&json!({}));
    early.facts.budget_used = 10;
    early.minutes(1);
    early.command(CommandKind::Abort);
    early.minutes(1);
    assert_eq!(early.state(), RolloutState::Refused);
}

#[test]
fn command_without_meaning_is_refused() {
    let world = World::new(&json!({}));
    for kind in [CommandKind::Pause, CommandKind::Resume, CommandKind::Approve, CommandKind::Promote] {
        let error = command(world.record(), kind, "dana", world.now).unwrap_err();
        assert!(error.to_string().contains("waiting"), "{error}");
    }
    let mut ended = World::new(&json!({ "strategy": "blue-green", "steps": null, "bake": "0s" }));
    ended.until(RolloutState::Promoted);
    for kind in
        [CommandKind::Pause, CommandKind::Resume, CommandKind::Approve, CommandKind::Promote, CommandKind::Abort]
    {
        assert!(command(ended.record(), kind, "dana", ended.now).is_err(), "{kind}");
    }
}
