//! A recorded decision, made again.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decide::{Decision, Verdict};
use super::recorded::Recorded;
use crate::failover::{Replay, ReplayError, read_recorded};

/// What a decision came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// What was decided, as in `issue`.
    pub decision: String,
    /// The reason's code.
    pub code: String,
    /// The plan, by its id, where there is something to be done: the same step about the same has the same.
    pub plan: Option<String>,
}

impl Conclusion {
    fn of(decision: &Decision) -> Self {
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

/// Makes the decision of a journal entry again, from what was observed then. `observed` is that of the entry, or what was
/// kept elsewhere for its length.
pub fn replay(entry: &Value, observed: &Value) -> Result<Replay<Conclusion>, ReplayError> {
    let Entry { resource, decision, reason, plan } = read_recorded(entry, "entry")?;
    let recorded: Recorded = read_recorded(observed, "observed")?;
    let (decisions, unasked) = recorded.decide_asking();
    let of_it = decisions.iter().find(|decided| decided.subject.to_string() == resource);
    Ok(Replay {
        at: recorded.now,
        recorded: Conclusion { decision, code: reason, plan: plan.map(|plan| plan.id) },
        decided: of_it.map(Conclusion::of),
        unasked: unasked.iter().map(ToString::to_string).collect(),
        resource,
    })
}
