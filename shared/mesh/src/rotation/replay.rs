//! Replays recorded decisions.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decision::{Decision, Verdict};
use super::recorded::Recorded;
use crate::failover::{Replay, ReplayError, read_recorded};

/// The result of a decision, for comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// The kind of the verdict, for example `issue`.
    pub decision: String,
    /// The reason's code.
    pub code: String,
    /// The id of the plan, if there is one: the same step for the same subject has the same id.
    pub plan: Option<String>,
}

impl Conclusion {
    fn new(decision: &Decision) -> Self {
        let word = match decision.verdict {
            Verdict::Keep(_) => "keep",
            Verdict::Issue(_) => "issue",
            Verdict::Distribute(_) => "distribute",
            Verdict::Verify(_) => "verify",
            Verdict::Retire(_) => "retire",
        };
        let plan = decision.verdict.plan().map(|plan| plan.id.clone());
        Self { decision: word.to_owned(), code: decision.verdict.code(), plan }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decision, self.code)?;
        self.plan.as_ref().map_or(Ok(()), |plan| write!(f, " (plan {plan})"))
    }
}

#[derive(Deserialize)]
struct Entry {
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

/// Replays the decision of a journal entry. `observed` is the observation of that time, from the entry itself or, if it
/// was too long, from the report store.
pub fn replay(entry: &Value, observed: &Value) -> Result<Replay<Conclusion>, ReplayError> {
    let Entry { resource, decision, reason, plan } = read_recorded(entry, "entry")?;
    let recorded: Recorded = read_recorded(observed, "observed")?;
    let (decisions, unrecorded) = recorded.decide_with_unrecorded();
    let of_it = decisions.iter().find(|decided| decided.subject.to_string() == resource);
    Ok(Replay {
        at: recorded.now,
        recorded: Conclusion { decision, code: reason, plan: plan.map(|plan| plan.id) },
        decided: of_it.map(Conclusion::new),
        unrecorded: unrecorded.iter().map(ToString::to_string).collect(),
        resource,
    })
}
