//! A recorded decision, made again.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::decide::{Verdict, decide};
use super::facts::Facts;
use super::reason::{HarmFact, Subject};
use crate::name::{ResourcePath, RouteId};
use crate::policy::Policy;
use crate::weights::WeightSplit;

/// What a decision came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// The reason's code.
    pub code: String,
    /// The weights that are to be, where something is to be done.
    pub to: Option<WeightSplit>,
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        self.to.as_ref().map_or(Ok(()), |to| write!(f, " to {to}"))
    }
}

/// A decision as it is recorded and as it is made again, whichever function made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replay<C = Conclusion> {
    /// What it was about.
    pub resource: String,
    /// When it was made.
    pub at: Timestamp,
    /// What the record says.
    pub recorded: C,
    /// What the same facts give now; `None` where nothing is decided of the resource any more.
    pub decided: Option<C>,
    /// What-ifs that are asked now and were not then, so that their answer isn't known. With any of them the decision
    /// says nothing.
    pub unasked: Vec<String>,
}

impl<C: PartialEq> Replay<C> {
    /// Whether the same facts give the same decision.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.unasked.is_empty() && self.decided.as_ref() == Some(&self.recorded)
    }
}

/// Why a record can't be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{at}: {why}")]
pub struct ReplayError {
    at: String,
    why: String,
}

impl ReplayError {
    /// A record that can't be replayed because of what stands at this place.
    pub(crate) fn new(at: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at: at.into(), why: why.into() }
    }
}

#[derive(Deserialize)]
struct Recorded {
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
struct Observed {
    now: Timestamp,
    facts: Facts,
    policy: Policy,
    #[serde(default)]
    harms: Vec<Asked>,
}

/// A what-if with its answer.
#[derive(Deserialize)]
struct Asked {
    route: RouteId,
    split: WeightSplit,
    harms: Vec<HarmFact>,
}

/// Makes the decision of a journal entry again, from what was observed then. `observed` is that of the entry, or what was
/// kept elsewhere for its length.
pub fn replay(entry: &Value, observed: &Value) -> Result<Replay, ReplayError> {
    let recorded: Recorded = read_recorded(entry, "entry")?;
    let Observed { now, facts, policy, harms } = read_recorded(observed, "observed")?;
    let unasked = std::cell::RefCell::new(Vec::new());
    let answer = |route: &RouteId, split: &WeightSplit| {
        let asked = harms.iter().find(|asked| asked.route == *route && asked.split == *split);
        if asked.is_none() {
            unasked.borrow_mut().push(format!("{route} to {split}"));
        }
        asked.map_or_else(Vec::new, |asked| asked.harms.clone())
    };
    let decisions = decide(&facts, &answer, &policy, now);
    let of_it = decisions.into_iter().find(|decision| match &decision.subject {
        Subject::Route(id) => ResourcePath::Route(id.clone()).to_string() == recorded.resource,
        Subject::Node(node) => {
            ResourcePath::VirtualNode(facts.mesh.clone(), node.clone()).to_string() == recorded.resource
        }
    });
    let decided = of_it.map(|decision| match decision.verdict {
        Verdict::Keep(reason) => Conclusion { code: reason.code(), to: None },
        Verdict::Hold(reason) => Conclusion { code: reason.code(), to: None },
        Verdict::Act(plan) => Conclusion { code: plan.why.code(), to: Some(plan.to) },
    });
    let recorded_as = Conclusion { code: recorded.reason, to: recorded.plan.map(|plan| plan.to) };
    Ok(Replay { resource: recorded.resource, at: now, recorded: recorded_as, decided, unasked: unasked.into_inner() })
}

/// Reads a part of a record.
pub(crate) fn read_recorded<'v, T: Deserialize<'v>>(value: &'v Value, at: &str) -> Result<T, ReplayError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { at.to_owned() } else { format!("{at}.{path}") };
        ReplayError { at, why: error.into_inner().to_string() }
    })
}
