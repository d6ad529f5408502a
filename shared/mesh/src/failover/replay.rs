//! Replays recorded decisions.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::decide::decide;
use super::decision::Verdict;
use super::facts::Facts;
use super::reason::Subject;
use crate::decision::HarmFact;
use crate::name::{ResourcePath, RouteId};
use crate::policy::Policy;
use crate::weights::WeightSplit;

/// The result of a decision, for comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// The reason's code.
    pub code: String,
    /// The weights to write, if the decision is a plan.
    pub to: Option<WeightSplit>,
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        self.to.as_ref().map_or(Ok(()), |to| write!(f, " to {to}"))
    }
}

/// A recorded decision and its replay, of any function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replay<C = Conclusion> {
    /// The subject of the decision.
    pub resource: String,
    /// The time of the decision.
    pub at: Timestamp,
    /// The recorded conclusion.
    pub recorded: C,
    /// The conclusion of the replay; `None` if the replay makes no decision for the resource.
    pub decided: Option<C>,
    /// The harm checks that the replay requested and the recording lacks. Their results are unknown, so a replay with
    /// any of them is inconclusive.
    #[serde(rename = "unasked")]
    pub unrecorded: Vec<String>,
}

impl<C: PartialEq> Replay<C> {
    /// Whether the replay is conclusive and gives the recorded decision.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.unrecorded.is_empty() && self.decided.as_ref() == Some(&self.recorded)
    }
}

/// The reason why a recording cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{at}: {why}")]
pub struct ReplayError {
    at: String,
    why: String,
}

impl ReplayError {
    /// An error at a path within the recording.
    pub(crate) fn new(at: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at: at.into(), why: why.into() }
    }
}

#[derive(Deserialize)]
struct RecordedDecision {
    resource: String,
    reason: String,
    #[serde(default)]
    plan: Option<PlannedSplit>,
}

#[derive(Deserialize)]
struct PlannedSplit {
    to: WeightSplit,
}

#[derive(Deserialize)]
struct RecordedObservation {
    now: Timestamp,
    facts: Facts,
    policy: Policy,
    #[serde(default)]
    harms: Vec<RecordedHarmCheck>,
}

/// A harm check with its result.
#[derive(Deserialize)]
struct RecordedHarmCheck {
    route: RouteId,
    split: WeightSplit,
    harms: Vec<HarmFact>,
}

/// Replays the decision of a journal entry. `observed` is the observation of that time, from the entry itself or, if it
/// was too long, from the object store.
pub fn replay(entry: &Value, observed: &Value) -> Result<Replay, ReplayError> {
    let recorded: RecordedDecision = read_recorded(entry, "entry")?;
    let RecordedObservation { now, facts, policy, harms } = read_recorded(observed, "observed")?;
    let unrecorded = std::cell::RefCell::new(Vec::new());
    let harm_check = |route: &RouteId, split: &WeightSplit| {
        let check = harms.iter().find(|check| check.route == *route && check.split == *split);
        if check.is_none() {
            unrecorded.borrow_mut().push(format!("{route} to {split}"));
        }
        check.map_or_else(Vec::new, |check| check.harms.clone())
    };
    let decisions = decide(&facts, &harm_check, &policy, now);
    let decision = decisions.into_iter().find(|decision| match &decision.subject {
        Subject::Route(id) => ResourcePath::Route(id.clone()).to_string() == recorded.resource,
        Subject::Node(node) => {
            ResourcePath::VirtualNode(facts.mesh.clone(), node.clone()).to_string() == recorded.resource
        }
    });
    let decided = decision.map(|decision| match decision.verdict {
        Verdict::Keep(reason) => Conclusion { code: reason.code(), to: None },
        Verdict::Hold(reason) => Conclusion { code: reason.code(), to: None },
        Verdict::Act(plan) => Conclusion { code: plan.why.code(), to: Some(plan.to) },
    });
    let recorded_as = Conclusion { code: recorded.reason, to: recorded.plan.map(|plan| plan.to) };
    Ok(Replay {
        resource: recorded.resource,
        at: now,
        recorded: recorded_as,
        decided,
        unrecorded: unrecorded.into_inner(),
    })
}

/// Deserializes a part of a recording; an error names the path of the invalid value.
pub(crate) fn read_recorded<'v, T: Deserialize<'v>>(value: &'v Value, at: &str) -> Result<T, ReplayError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { at.to_owned() } else { format!("{at}.{path}") };
        ReplayError { at, why: error.into_inner().to_string() }
    })
}
