//! Hooks: Lambda functions that are invoked at stages of a rollout and answer as hooks of ECS deployments do.

use jiff::{SignedDuration, Timestamp};
use policy::{HookStage, RolloutHook};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::facts::HookReading;
use crate::hook::{HookAnswer, HookRecord, HookStatus};
use crate::record::RolloutRecord;

/// The delay before the next invocation of a hook that is in progress and names none, as in ECS.
const CALL_BACK: SignedDuration = SignedDuration::from_secs(30);

/// The longest delay that a hook may request. A longer one would only let it run into its time limit.
const LONGEST_CALL_BACK: i64 = 60 * 60;

/// An invocation of a hook that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct HookCall {
    /// The id of the hook: the same for each invocation of the same hook in the same step.
    pub id: String,
    /// The function.
    pub function: String,
    /// The event.
    pub event: Value,
}

/// The state of all hooks of a stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StageHooks {
    /// All have succeeded, or the stage has none.
    Done,
    /// One is due.
    Due(HookCall),
    /// One is in progress.
    InProgress {
        /// The function.
        function: String,
        /// The last reason or error.
        reason: Option<String>,
    },
    /// One failed.
    Failed {
        /// The function.
        function: String,
        /// The reason.
        reason: String,
    },
    /// One did not succeed within its time limit.
    TimedOut {
        /// The function.
        function: String,
        /// The last reason or error.
        reason: Option<String>,
    },
}

/// Enters the answer into the record, and returns the state of the hooks of a stage.
pub(crate) fn stage_hooks(
    record: &mut RolloutRecord,
    stage: HookStage,
    reading: Option<&HookReading>,
    now: Timestamp,
) -> StageHooks {
    let hooks: Vec<RolloutHook> = record.rollout.hooks.iter().filter(|hook| hook.stage == stage).cloned().collect();
    for hook in hooks {
        let id = hook_id(record, &hook);
        if let Some(HookReading { answer, .. }) = reading.filter(|reading| reading.hook == id) {
            enter(record, &id, &hook, answer, now);
        }
        let function = hook.function.as_str().to_owned();
        let Some(known) = record.hooks.get(&id) else {
            return StageHooks::Due(call(record, &id, &hook));
        };
        let reason = known.reason.clone();
        match known.status {
            HookStatus::Succeeded => {}
            HookStatus::Failed => {
                return StageHooks::Failed { function, reason: reason.unwrap_or_else(|| "no reason given".to_owned()) };
            }
            HookStatus::InProgress => {
                let limit = hook.timeout.map_or(SignedDuration::ZERO, policy::Period::get);
                if now >= known.first + limit {
                    return StageHooks::TimedOut { function, reason };
                }
                // An answer of this run is not repeated in this run.
                let answered = reading.is_some_and(|reading| reading.hook == id);
                if now >= known.next && !answered {
                    return StageHooks::Due(call(record, &id, &hook));
                }
                return StageHooks::InProgress { function, reason };
            }
        }
    }
    StageHooks::Done
}

fn enter(record: &mut RolloutRecord, id: &str, hook: &RolloutHook, answer: &HookAnswer, now: Timestamp) {
    let step = record.step;
    let known = record.hooks.entry(id.to_owned()).or_insert_with(|| HookRecord {
        stage: hook.stage,
        step,
        function: hook.function.as_str().to_owned(),
        status: HookStatus::InProgress,
        first: now,
        next: now,
        details: None,
        reason: None,
    });
    // A stored end is never replaced.
    if known.status != HookStatus::InProgress {
        return;
    }
    match answer {
        HookAnswer::Answered { status, call_back_delay, details, reason } => {
            let delay = call_back_delay
                .map_or(CALL_BACK, |seconds| SignedDuration::from_secs(seconds.clamp(1, LONGEST_CALL_BACK)));
            known.status = *status;
            known.next = now + delay;
            known.details.clone_from(details);
            known.reason.clone_from(reason);
        }
        HookAnswer::Error { why } => {
            known.next = now + CALL_BACK;
            known.reason = Some(why.clone());
        }
    }
}

/// The id of a hook in the current step: a second invocation is recognizable by it.
fn hook_id(record: &RolloutRecord, hook: &RolloutHook) -> String {
    let rollout = &record.rollout;
    let text = format!(
        "{}\0{}\0{}\0{}\0{}",
        rollout.mesh,
        rollout.id,
        hook.stage.as_str(),
        record.step,
        hook.function.as_str()
    );
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{first:016x}")
}

fn call(record: &RolloutRecord, id: &str, hook: &RolloutHook) -> HookCall {
    let rollout = &record.rollout;
    let weights: Value = rollout
        .routes
        .iter()
        .map(|route| (route.to_string(), json!(rollout.percent(route, record.step))))
        .collect::<serde_json::Map<String, Value>>()
        .into();
    let event = json!({
        "hookId": id,
        "rolloutId": rollout.id,
        "mesh": rollout.mesh,
        "routes": rollout.routes,
        "stage": hook.stage,
        "step": record.step,
        "percent": rollout.percent_of_step(record.step),
        "weights": weights,
        "hookDetails": record.hooks.get(id).and_then(|known| known.details.clone()),
    });
    HookCall { id: id.to_owned(), function: hook.function.as_str().to_owned(), event }
}
