//! Replays recorded decisions.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decide::{Decision, DecisionScope, Verdict, decide};
use super::facts::{Facts, StateAccess, Unread};
use super::record::Record;
use super::topic::Topic;
use crate::failover::{Replay, ReplayError, read_recorded};
use crate::name::{MeshName, ResourceKind, ResourcePath};
use crate::policy::Policy;
use crate::resource::{Resource, Tags};

/// The result of a decision, for comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// The kind of the verdict: `keep`, `hold` or `act`.
    pub decision: String,
    /// The reason's code.
    pub code: String,
    /// The id of the plan, if there is one: the same changes of the same version have the same id.
    pub plan: Option<String>,
}

impl From<&Decision> for Conclusion {
    fn from(decision: &Decision) -> Self {
        let (decision, code, plan) = match &decision.verdict {
            Verdict::Keep(reason) => ("keep", reason.parts().0, None),
            Verdict::Hold(reason) => ("hold", reason.parts().0, None),
            Verdict::Act(plan) => ("act", "Mends".to_owned(), Some(plan.id.clone())),
        };
        Self { decision: decision.to_owned(), code, plan }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decision, self.code)?;
        self.plan.as_ref().map_or(Ok(()), |plan| write!(f, " (plan {plan})"))
    }
}

/// A journal entry: one decision before a change, or all reported decisions.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    decision: Option<Line>,
    #[serde(default)]
    decisions: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    resource: String,
    decision: String,
    reason: String,
    #[serde(default)]
    plan: Option<Planned>,
}

#[derive(Deserialize)]
struct Planned {
    id: String,
}

#[derive(Deserialize)]
struct Observed {
    now: Timestamp,
    facts: RecordedFacts,
    policy: Policy,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedFacts {
    mesh: MeshName,
    resources: Vec<RecordedResource>,
    #[serde(default)]
    unread: BTreeMap<ResourcePath, Unread>,
    record: Record,
    #[serde(default)]
    state: StateAccess,
    #[serde(default)]
    kill_switch: Option<(String, String)>,
    budget_used: u32,
}

#[derive(Deserialize)]
struct RecordedResource {
    kind: ResourceKind,
    resource: Value,
    /// `null` if the tags could not be read.
    tags: Option<BTreeMap<String, String>>,
}

/// Replays the decisions of a journal entry. `observed` is the observation of that time, from the entry itself or, if
/// it was too long, from the report store.
pub fn replay(topic: Topic, entry: &Value, observed: &Value) -> Result<Vec<Replay<Conclusion>>, ReplayError> {
    let Entry { decision, decisions } = read_recorded(entry, "entry")?;
    let Observed { now, facts, policy } = read_recorded(observed, "observed")?;
    let facts = facts.read()?;
    let decided = decide(topic, &facts, &policy, now, DecisionScope::All);
    let again = |line: Line| {
        let of_it = decided.iter().find(|decision| decision.resource.to_string() == line.resource);
        Replay {
            at: now,
            recorded: Conclusion { decision: line.decision, code: line.reason, plan: line.plan.map(|plan| plan.id) },
            decided: of_it.map(Conclusion::from),
            unrecorded: Vec::new(),
            resource: line.resource,
        }
    };
    Ok(decision.into_iter().chain(decisions).map(again).collect())
}

impl RecordedFacts {
    fn read(self) -> Result<Facts, ReplayError> {
        let flaw = |why: String| ReplayError::new("observed.facts.resources", why);
        let mut resources = Vec::new();
        for recorded in self.resources {
            let resource = Resource::read(recorded.kind, &recorded.resource)
                .map_err(|violations| flaw(violations.first().map_or_else(String::new, ToString::to_string)))?;
            let tags = recorded.tags.map(Tags::read).transpose().map_err(flaw)?;
            resources.push((resource, tags));
        }
        let facts = Facts::from_resources(&self.mesh, resources).and_then(|facts| facts.with_unread(self.unread));
        let mut facts = facts.map_err(|error| flaw(error.to_string()))?;
        facts.record = self.record;
        facts.state = self.state;
        facts.kill_switch = self.kill_switch;
        facts.budget_used = self.budget_used;
        Ok(facts)
    }
}
