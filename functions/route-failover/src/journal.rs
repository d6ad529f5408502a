//! The journal entry of a decision, with the observation that it was made from.

use decisions::failover::{Decision, Verdict};
use jiff::Timestamp;
use policy::Policy;
use ports::{ReportStore, store_observation};
use records::{
    DecisionEntry, FailoverObservation, Function, JournalBody, Observation as Recorded, ObservedRef, PlanEntry,
};

use crate::observe::Observation;
use crate::reason::{reason, resource};

/// Above this size in bytes, an observation goes to the reports store. An item of the state table has at most 400 KB,
/// and operators read the journal.
const LARGEST_INLINE: usize = 100 * 1024;

/// A decision and its observation, before it is known whether a change begins with it.
#[derive(Debug)]
pub(crate) struct RecordedDecision {
    decision: DecisionEntry,
    observed: ObservedRef,
}

impl RecordedDecision {
    /// Records a decision, and stores its observation.
    pub(crate) async fn new(
        reports: &dyn ReportStore,
        decision: &Decision,
        observation: &Observation,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let (code, facts, text) = reason(&decision.verdict);
        let resource = resource(&observation.facts.mesh, &decision.subject);
        let recorded = FailoverObservation {
            now,
            facts: observation.facts.clone(),
            harms: observation.what_ifs(),
            policy: policy.clone(),
        };
        let object = |_: &str| format!("observations/{resource}/{}.json", now.as_millisecond());
        let recorded = Recorded::Failover(Box::new(recorded));
        let observed = store_observation(reports, &recorded, LARGEST_INLINE, object).await;
        let plan = match &decision.verdict {
            Verdict::Act(plan) => Some(PlanEntry::from(plan.as_ref())),
            Verdict::Keep(_) | Verdict::Hold(_) => None,
        };
        let decision = DecisionEntry { text: Some(text), plan, ..DecisionEntry::new(resource, code, facts) };
        Self { decision, observed }
    }

    /// The entry at the beginning of a change.
    pub(crate) fn begun(&self) -> JournalBody {
        let (decision, observed) = (self.decision.clone(), Some(self.observed.clone()));
        JournalBody::Begun { function: Function::RouteFailover, decision, observed }
    }

    /// The entry about a decision that changes nothing.
    pub(crate) fn decided(&self) -> JournalBody {
        let (decisions, observed) = (vec![self.decision.clone()], Some(self.observed.clone()));
        JournalBody::Decided { function: Function::RouteFailover, decisions, observed }
    }
}
