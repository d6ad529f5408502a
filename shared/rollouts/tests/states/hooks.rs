//! Hooks: each stage, each answer, repeated calls.

use rollouts::{HookAnswer, HookStatus, RolloutState};
use serde_json::{Value, json};

use crate::world::{ALL, World};

fn answer(value: &Value) -> HookAnswer {
    HookAnswer::parse(value)
}

fn succeeded() -> HookAnswer {
    answer(&json!({ "hookStatus": "SUCCEEDED" }))
}

fn with_hook(stage: &str) -> World {
    World::new(&json!({ "hooks": [{ "stage": stage, "function": "check", "timeout": "3m" }] }))
}

#[test]
fn answers_are_read_as_in_ecs() {
    let status = |value: Value| match answer(&value) {
        HookAnswer::Answered { status, .. } => Some(status),
        HookAnswer::Error { .. } => None,
    };
    for (value, expected) in [
        (json!({ "hookStatus": "SUCCEEDED" }), Some(HookStatus::Succeeded)),
        (json!({ "hookStatus": "FAILED", "reason": "no" }), Some(HookStatus::Failed)),
        (
            json!({ "hookStatus": "IN_PROGRESS", "callBackDelay": 10, "hookDetails": { "n": 1 } }),
            Some(HookStatus::InProgress),
        ),
        (json!({ "hookStatus": "OK" }), None),
        (json!({}), None),
        (json!("SUCCEEDED"), None),
        (json!(null), None),
    ] {
        assert_eq!(status(value.clone()), expected, "{value}");
    }
}

#[test]
fn each_stage_waits_for_its_hook_and_fails_with_it() {
    for (stage, state, weights) in [
        ("before", RolloutState::Refused, vec![100, 0]),
        ("step", RolloutState::RolledBack, vec![100, 0]),
        ("bake", RolloutState::RolledBack, vec![100, 0]),
        ("after", RolloutState::RolledBack, vec![100, 0]),
    ] {
        let mut world = with_hook(stage);
        world.answers = vec![succeeded()];
        world.until(RolloutState::Promoted);
        let calls = if stage == "step" { 2 } else { 1 };
        assert_eq!(world.invoked.len(), calls, "{stage}: {:?}", world.invoked);

        let mut world = with_hook(stage);
        world.answers = vec![answer(&json!({ "hookStatus": "FAILED", "reason": "checksum" }))];
        world.until(state);
        assert_eq!(world.weights(ALL), weights, "{stage}");
        let failure = world.record().failure.clone().unwrap();
        assert_eq!(failure.code, "HookFailed", "{stage}");
        assert!(failure.text.contains("checksum"), "{}", failure.text);

        // Errors and unreadable answers are repeated until the time limit, which is a failure.
        let mut world = with_hook(stage);
        world.answers = vec![HookAnswer::Error { why: "throttled".to_owned() }];
        world.until(state);
        assert_eq!(world.record().failure.as_ref().unwrap().code, "HookTimedOut", "{stage}");
        assert!(world.invoked.len() >= 3, "{stage}");
        assert_eq!(world.weights(ALL), weights, "{stage}");
    }
}

#[test]
fn hook_in_progress_is_called_again_with_its_id_and_details_after_its_delay() {
    let mut world = with_hook("before");
    let in_progress = json!({ "hookStatus": "IN_PROGRESS", "callBackDelay": 90, "hookDetails": { "n": 1 } });
    world.answers = vec![answer(&in_progress), succeeded()];
    world.minutes(1);
    assert_eq!((world.code().as_str(), world.invoked.len()), ("HookWaits", 1));
    world.minutes(1);
    assert_eq!(world.invoked.len(), 1, "the delay is not over");
    world.minutes(1);
    assert_eq!(world.invoked.len(), 2);
    assert_eq!(world.invoked[0], world.invoked[1]);
    assert_eq!(world.weights(ALL), [90, 10]);
}

#[test]
fn rollback_informs_its_hook_and_does_not_wait_for_success() {
    let mut world = with_hook("rollback");
    world.answers = vec![HookAnswer::Error { why: "denied".to_owned() }];
    world.run();
    world.command(rollouts::CommandKind::Abort);
    world.minutes(1);
    assert_eq!((world.state(), world.weights(ALL), world.invoked.len()), (RolloutState::RolledBack, vec![100, 0], 1));
}
