//! The journal entries of decisions, each with the observation that it was made from.

use mesh::certificates::Fingerprint;
use mesh::rotation::{Decision, Recorded};
use ports::{ReportStore, store_observation};
use records::{DecisionEntry, Function, JournalBody, Observation, ObservedRef, PlanEntry};

use crate::account::Account;

/// Above this size in bytes, an observation goes to the reports store. An observation covers all meshes and belongs to
/// every step. An item of the state table has at most 400 KB and costs by its size, and operators read the journal.
const LARGEST_INLINE: usize = 32 * 1024;

/// Stores an observation in the reports store if it is too large for the journal. Returns its location.
pub(crate) async fn keep(reports: &dyn ReportStore, recorded: Recorded) -> ObservedRef {
    let now = recorded.now;
    // One run observes several times, perhaps within a millisecond.
    let object = |text: &str| {
        let mut digest = Fingerprint::from_der(text.as_bytes()).to_string();
        digest.truncate(12);
        format!("observations/{}-{digest}.json", now.as_millisecond())
    };
    store_observation(reports, &Observation::Rotation(Box::new(recorded)), LARGEST_INLINE, object).await
}

/// The entry at the beginning of a step.
pub(crate) fn begun(decision: &Decision, observed: &ObservedRef) -> JournalBody {
    let observed = Some(observed.clone());
    JournalBody::Begun { function: Function::CertificateRotation, decision: entry(decision), observed }
}

/// The entry about a decision that was reported.
pub(crate) fn decided(decision: &Decision, observed: &ObservedRef) -> JournalBody {
    let observed = Some(observed.clone());
    JournalBody::Decided { function: Function::CertificateRotation, decisions: vec![entry(decision)], observed }
}

fn entry(decision: &Decision) -> DecisionEntry {
    let Account { line, text, .. } = Account::of(decision, None);
    DecisionEntry {
        plan: decision.verdict.plan().map(PlanEntry::from),
        text: Some(text),
        failing: Some(decision.failing),
        ..DecisionEntry::from(&line)
    }
}
