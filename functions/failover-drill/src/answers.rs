//! The answer to a service that invokes the function directly.

use drills::Answer;
use runner::Run;
use runner::events::DrillAction;
use serde_json::json;

use crate::trigger::{MeshCommand, UnknownPlan};

/// Answers a direct command with the state of its drill. A requested result is an error unless the drill has succeeded.
pub(crate) fn answer(run: &Run<'_>, command: &MeshCommand, answer: &Answer) {
    // A command of the event bus has a time, and its answer is not read.
    if command.command.at.is_some() {
        return;
    }
    let needs_success = match command.command.action {
        DrillAction::Start | DrillAction::Stop => false,
        DrillAction::Result | DrillAction::StartOrResult => true,
    };
    // The answer has only string keys, so this cannot fail.
    run.answer(serde_json::to_value(answer).unwrap_or_default());
    if needs_success && !answer.has_succeeded() {
        let reason = answer.text.as_deref().unwrap_or("no reason is known yet");
        let why = if answer.is_pending() {
            format!("drill {} is in progress: {reason}", answer.drill)
        } else {
            format!("drill {} has the result {}: {reason}", answer.drill, answer.result)
        };
        run.retry(&command.requested_by, &why);
    }
}

/// Answers a command about an unknown plan. A direct invocation is an error; a repeated event would not help.
pub(crate) fn unknown(run: &Run<'_>, unknown: &UnknownPlan) {
    let UnknownPlan { command, requested_by, why } = unknown;
    let facts = json!({ "drill": command.drill, "by": command.by, "why": why });
    run.report(runner::Decision::new(format!("drill/{}", command.drill), "hold", "UnknownPlan", facts));
    if command.at.is_none() {
        run.retry(requested_by, &format!("drill {}: {why}", command.drill));
    }
}
