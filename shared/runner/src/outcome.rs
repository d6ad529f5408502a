//! The outcome of a plan: one type for all functions.

use std::collections::BTreeSet;

use mesh::name::MeshName;
use ports::{PortError, Refusal, Written};
use records::OutcomeEntry;
use serde::Serialize;

/// The outcome of a plan. The names are stable: they are in logs, in metrics and in the journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The mode is observe, so that no call was made.
    WouldApply {
        /// The meshes in mode observe, for a plan that touches several meshes.
        #[serde(skip_serializing_if = "BTreeSet::is_empty")]
        watching: BTreeSet<MeshName>,
    },
    /// The change is made.
    Applied,
    /// The change had been made before.
    AlreadyInPlace,
    /// Another service has not finished the change.
    InProgress,
    /// Another writer was first, so that nothing was written; the function observes and decides again.
    Superseded,
    /// The state table did not allow the change.
    Refused {
        /// The reason of the refusal.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// The change is made, over a change that had not been observed.
    Overwrote {
        /// The new version of the resource.
        version: u64,
    },
    /// A call failed; the next run resumes the plan.
    Failed {
        /// The call and its error.
        error: String,
        /// Whether another attempt may succeed.
        may_heal: bool,
    },
    /// The remaining time was too short; the next run resumes the plan.
    OutOfTime,
}

impl Outcome {
    /// The outcome of a failed call.
    #[must_use]
    pub fn failed(error: &PortError) -> Self {
        Self::Failed { error: error.to_string(), may_heal: error.kind.may_heal() }
    }

    /// The outcome in mode observe.
    #[must_use]
    pub const fn would_apply() -> Self {
        Self::WouldApply { watching: BTreeSet::new() }
    }

    /// The stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WouldApply { .. } => "WouldApply",
            Self::Applied => "Applied",
            Self::AlreadyInPlace => "AlreadyInPlace",
            Self::InProgress => "InProgress",
            Self::Superseded => "Superseded",
            Self::Refused { .. } => "Refused",
            Self::Overwrote { .. } => "Overwrote",
            Self::Failed { .. } => "Failed",
            Self::OutOfTime => "OutOfTime",
        }
    }

    /// Whether the resource is in its planned state.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        match self {
            Self::Applied | Self::AlreadyInPlace | Self::Overwrote { .. } => true,
            Self::WouldApply { .. }
            | Self::InProgress
            | Self::Superseded
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::OutOfTime => false,
        }
    }

    /// Whether the next plan of the same document would have the same outcome.
    #[must_use]
    pub const fn halts(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::OutOfTime => true,
            Self::WouldApply { .. }
            | Self::Applied
            | Self::AlreadyInPlace
            | Self::InProgress
            | Self::Superseded
            | Self::Overwrote { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// Whether the state differs from the observation.
    #[must_use]
    pub const fn moves(&self) -> bool {
        match self {
            Self::Applied | Self::AlreadyInPlace | Self::Superseded | Self::Overwrote { .. } => true,
            Self::WouldApply { .. }
            | Self::InProgress
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::OutOfTime => false,
        }
    }

    /// Why the delivery that requested the plan should be delivered again; `None` if it should not. A superseded plan
    /// counts only after the last attempt.
    #[must_use]
    pub fn retry(&self, subject: &str) -> Option<String> {
        match self {
            Self::Failed { error, may_heal: true } => Some(error.clone()),
            Self::Superseded => Some(format!("another writer changed {subject} in every attempt")),
            Self::WouldApply { .. }
            | Self::Applied
            | Self::AlreadyInPlace
            | Self::InProgress
            | Self::Refused { .. }
            | Self::Overwrote { .. }
            | Self::Failed { may_heal: false, .. }
            | Self::OutOfTime => None,
        }
    }
}

impl From<&Written> for Outcome {
    fn from(written: &Written) -> Self {
        match written {
            Written::Applied { .. } => Self::Applied,
            Written::Superseded => Self::Superseded,
            Written::Overwrote { version } => Self::Overwrote { version: *version },
        }
    }
}

impl From<&Outcome> for OutcomeEntry {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::WouldApply { watching } => Self::WouldApply { watching: watching.clone() },
            Outcome::Applied => Self::Applied { version: None },
            Outcome::AlreadyInPlace => Self::AlreadyInPlace,
            Outcome::InProgress => Self::InProgress,
            Outcome::Superseded => Self::Superseded,
            Outcome::Refused { refusal } => Self::Refused { refusal: refusal.code().to_owned() },
            Outcome::Overwrote { version } => Self::Overwrote { version: *version },
            Outcome::Failed { error, may_heal } => {
                Self::Failed { error: error.clone(), may_heal: Some(*may_heal), kind: None }
            }
            Outcome::OutOfTime => Self::OutOfTime,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Every outcome: its stored form, and whether it is done, halts its document, moves the state, and is retried.
    #[test]
    fn outcomes_have_their_stored_form_and_their_effects() {
        let failed = |may_heal| Outcome::Failed { error: "no".to_owned(), may_heal };
        let watched = Outcome::WouldApply { watching: ["shop".parse().unwrap()].into() };
        let refused = Outcome::Refused { refusal: Refusal::BudgetSpent };
        let [no, yes] = [false, true];
        let rows: [(Outcome, Value, [bool; 4]); 11] = [
            (Outcome::would_apply(), json!({ "outcome": "WouldApply" }), [no, no, no, no]),
            (watched, json!({ "outcome": "WouldApply", "watching": ["shop"] }), [no, no, no, no]),
            (Outcome::Applied, json!({ "outcome": "Applied" }), [yes, no, yes, no]),
            (Outcome::AlreadyInPlace, json!({ "outcome": "AlreadyInPlace" }), [yes, no, yes, no]),
            (Outcome::InProgress, json!({ "outcome": "InProgress" }), [no, no, no, no]),
            (Outcome::Superseded, json!({ "outcome": "Superseded" }), [no, no, yes, yes]),
            (refused, json!({ "outcome": "Refused", "refusal": "budget-spent" }), [no, yes, no, no]),
            (Outcome::Overwrote { version: 7 }, json!({ "outcome": "Overwrote", "version": 7 }), [yes, no, yes, no]),
            (failed(true), json!({ "outcome": "Failed", "error": "no", "mayHeal": true }), [no, no, no, yes]),
            (failed(false), json!({ "outcome": "Failed", "error": "no", "mayHeal": false }), [no, no, no, no]),
            (Outcome::OutOfTime, json!({ "outcome": "OutOfTime" }), [no, yes, no, no]),
        ];
        for (outcome, stored, [done, halts, moves, retried]) in rows {
            assert_eq!(serde_json::to_value(&outcome).unwrap(), stored);
            assert_eq!(serde_json::to_value(OutcomeEntry::from(&outcome)).unwrap(), stored, "the journal has the same");
            assert_eq!(stored["outcome"], outcome.name());
            let effects = (outcome.is_done(), outcome.halts(), outcome.moves(), outcome.retry("mesh/shop").is_some());
            assert_eq!(effects, (done, halts, moves, retried), "{outcome:?}");
        }
    }
}
