//! The answer to a service that started a drill and requests its result.

use jiff::Timestamp;
use mesh::name::MeshName;
use policy::DrillName;
use serde::{Deserialize, Serialize};

use crate::outcome::DrillOutcome;
use crate::record::MeshDrills;

/// The state of a drill, for the service that requested it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The mesh.
    pub mesh: MeshName,
    /// The plan.
    pub drill: DrillName,
    /// The id of the drill; unset if the request is not accepted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_id: Option<String>,
    /// The phase, or `ended`, or `none` if the plan never had a drill.
    pub state: AnswerState,
    /// The result: `PENDING` until the drill has ended.
    pub result: String,
    /// The code of the last reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last reason as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When the weights must be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_by: Option<Timestamp>,
}

/// The state of a drill in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerState {
    /// The plan never had a drill.
    None,
    /// The request waits for the next run.
    Requested,
    /// The conditions of a start are checked.
    Checking,
    /// The weights are being written.
    Draining,
    /// The proxies are acknowledging the weights.
    Confirming,
    /// The node is drained.
    Running,
    /// The weights are being restored.
    Restoring,
    /// The drill has ended.
    Ended,
}

impl Answer {
    /// Whether the drill has not ended yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        match self.state {
            AnswerState::None | AnswerState::Ended => false,
            AnswerState::Requested
            | AnswerState::Checking
            | AnswerState::Draining
            | AnswerState::Confirming
            | AnswerState::Running
            | AnswerState::Restoring => true,
        }
    }

    /// Whether the drill has succeeded.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.result == DrillOutcome::Succeeded.as_str()
    }
}

/// The state of the newest drill of a plan.
#[must_use]
pub fn answer(mesh: &MeshName, name: &DrillName, record: &MeshDrills) -> Answer {
    let blank = Answer {
        mesh: mesh.clone(),
        drill: name.clone(),
        drill_id: None,
        state: AnswerState::None,
        result: "PENDING".to_owned(),
        reason: None,
        text: None,
        restore_by: None,
    };
    if let Some(drill) = record.active.as_ref().filter(|drill| drill.plan.name == *name) {
        use crate::record::DrillPhase::{Checking, Confirming, Draining, Restoring, Running};
        let state = match drill.phase {
            Checking => AnswerState::Checking,
            Draining => AnswerState::Draining,
            Confirming => AnswerState::Confirming,
            Running => AnswerState::Running,
            Restoring => AnswerState::Restoring,
        };
        let reason = drill.verdict.as_ref().map(|verdict| &verdict.reason).or(drill.obstacle.as_ref());
        return Answer {
            drill_id: Some(drill.id.clone()),
            state,
            reason: reason.map(|reason| reason.code().to_owned()),
            text: reason.map(ToString::to_string),
            restore_by: drill.restore_by,
            ..blank
        };
    }
    let is_start = |request: &crate::Request| request.drill == *name && request.action != crate::RequestAction::Stop;
    if record.requests.iter().any(is_start) {
        return Answer { state: AnswerState::Requested, ..blank };
    }
    match record.plans.get(name).and_then(|history| history.last.as_ref()) {
        Some(end) => Answer {
            drill_id: Some(end.id.clone()),
            state: AnswerState::Ended,
            result: end.outcome.to_string(),
            reason: Some(end.reason.code().to_owned()),
            text: Some(end.reason.to_string()),
            ..blank
        },
        None => Answer { result: "NONE".to_owned(), ..blank },
    }
}
