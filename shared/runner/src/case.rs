//! A case: one stored document with the decisions that it records.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh::name::MeshName;
use policy::Policy;
use ports::{Spend, StateKey};
use records::{DecisionEntry, Observation};
use serde::Serialize;
use serde_json::Value;

use crate::outbox::Message;
use crate::outcome::Outcome;
use crate::report::Decision;
use crate::work::RequestedBy;

/// The content of a stored document, as a function uses it.
pub trait DocumentState: Clone + PartialEq + Serialize + Send + Sync {
    /// The messages that wait to be sent, in their order.
    fn messages(&self) -> Vec<Message>;

    /// Replaces the waiting messages. Returns the oldest ones, for which the document has no room.
    fn set_messages(&mut self, messages: Vec<Message>) -> Vec<Message>;
}

/// A plan: a change as data.
pub trait PlanData<R>: Send + Sync {
    /// The id, which is the same for the same change of the same version.
    fn id(&self) -> &str;

    /// Enters the plan into the record before its first call, so that a later run can resume it.
    fn enter(&self, record: &mut R);
}

/// The data that a function has read, for the journal.
pub trait ObservationData: Send + Sync {
    /// The observation with which the decisions can be made again.
    fn recorded(&self, policy: &Policy, now: Timestamp) -> Observation;

    /// The name of the observation in the reports store, if its text is too large for the journal.
    fn object(&self, now: Timestamp, text: &str) -> String;
}

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord<R> {
    /// The content.
    pub record: R,
    /// The revision; 0 for a document that does not exist yet.
    pub revision: u64,
}

/// One document with the decisions that it records.
#[derive(Clone, Debug)]
pub struct Case<R, D, P> {
    /// The key of the document.
    pub key: StateKey,
    /// The subject in lines about the document itself, as in `mesh/shop`.
    pub subject: String,
    /// The document as it is stored; `None` if it cannot be read. Then nothing is changed, stored or sent.
    pub stored: Option<StoredRecord<R>>,
    /// The content as it should be stored.
    pub record: R,
    /// The deliveries that alone carry a fact of the record. They are repeated until the record is stored.
    pub facts: RequestedBy,
    /// The decisions, in the order of their execution.
    pub decisions: Vec<CaseDecision<D, P>>,
}

/// One decision of a case.
#[derive(Clone, Debug)]
pub struct CaseDecision<D, P> {
    /// The decision as the function made it.
    pub own: D,
    /// The decision as the journal and the report have it, without its outcome.
    pub entry: DecisionEntry,
    /// The consequence of the decision.
    pub action: CaseAction<P>,
    /// The deliveries that requested the decision.
    pub requested_by: RequestedBy,
    /// Whether the report has a line about it.
    pub shown: bool,
    /// Whether the kill switch holds it.
    pub is_killed: bool,
    /// Whether its plan was begun. The engine sets it.
    pub has_begun: bool,
    /// The outcome of its plan, if it has one. The engine sets it.
    pub outcome: Option<Outcome>,
}

/// The consequence of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum CaseAction<P> {
    /// Nothing is changed: no change is needed, or it is held.
    None,
    /// The plan is only reported, because of the mode.
    Report {
        /// The meshes in mode observe, for a plan that touches several.
        watching: BTreeSet<MeshName>,
    },
    /// The plan is executed.
    Change {
        /// The plan.
        plan: P,
        /// The budget that it is charged to; `None` for a change without a cost.
        spend: Option<Spend>,
    },
}

/// The news of a case after its plans were executed.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// The journal entry of the new decisions: its id, and the decisions.
    pub journal: Option<(String, Vec<DecisionEntry>)>,
    /// The messages about them.
    pub messages: Vec<Message>,
}

impl<D, P> CaseDecision<D, P> {
    /// The decision as the journal has it, with its outcome.
    #[must_use]
    pub fn entry_with_outcome(&self) -> DecisionEntry {
        DecisionEntry { outcome: self.outcome.as_ref().map(Into::into), ..self.entry.clone() }
    }

    /// The line of the report.
    #[must_use]
    pub fn line(&self) -> Decision {
        Decision::from(&self.entry_with_outcome())
    }

    /// The line of the report with this outcome.
    #[must_use]
    pub fn line_with(&self, outcome: &Outcome) -> Decision {
        Decision::from(&DecisionEntry { outcome: Some(outcome.into()), ..self.entry.clone() })
    }

    pub(crate) fn is_superseded(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Superseded))
    }

    pub(crate) fn has_moved(&self) -> bool {
        self.outcome.as_ref().is_some_and(Outcome::moves)
    }
}

impl From<&DecisionEntry> for Decision {
    fn from(entry: &DecisionEntry) -> Self {
        // Plans and outcomes have only string keys, so this cannot fail.
        let plan = entry.plan.as_ref().map(|plan| serde_json::to_value(plan).unwrap_or_default());
        let outcome = entry.outcome.as_ref().map(|outcome| serde_json::to_value(outcome).unwrap_or_default());
        let decision = entry.decision.as_deref().unwrap_or("keep");
        let line = Self::new(entry.resource.clone(), decision, &entry.reason, entry.facts.clone());
        Self { plan, outcome, ..line }
    }
}

/// A record in the form of the state table.
pub(crate) fn document(record: &impl Serialize) -> Value {
    // Records have only string keys, so this cannot fail.
    serde_json::to_value(record).unwrap_or_default()
}
