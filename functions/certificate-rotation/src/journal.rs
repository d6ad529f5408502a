//! The journal entry of a decision: enough to make the decision again.

use mesh::certificates::Fingerprint;
use mesh::rotation::{Decision, Recorded};
use ports::ReportStore;
use serde_json::{Value, json};

use crate::NAME;
use crate::account::Account;

/// Above this size in bytes, an observation goes to the reports store. An observation covers all meshes and belongs to
/// every step. An item of the state table has at most 400 KB and costs by its size, and operators read the journal.
const LARGEST_INLINE: usize = 32 * 1024;

/// Stores an observation in the reports store if it is too large for the journal. Returns the observation, its
/// location, or why it is lost.
pub(crate) async fn keep(reports: &dyn ReportStore, recorded: Recorded) -> Value {
    // The value has only string keys, so this can't fail.
    let observed = serde_json::to_value(&recorded).unwrap_or_default();
    let text = observed.to_string();
    if text.len() <= LARGEST_INLINE {
        return observed;
    }
    // One run observes several times, perhaps within a millisecond.
    let mut digest = Fingerprint::from_der(text.as_bytes()).to_string();
    digest.truncate(12);
    let name = format!("observations/{}-{digest}.json", recorded.now.as_millisecond());
    match reports.put(&name, text.as_bytes()).await {
        Ok(place) => json!({ "at": place }),
        Err(error) => {
            tracing::warn!(%error, "failed to store a large observation of certificates; its journal entry has none");
            json!({ "lost": error.to_string() })
        }
    }
}

/// The body of a journal entry: decision and observation.
pub(crate) fn body(decision: &Decision, observed: &Value) -> Value {
    let Account { line, text, .. } = Account::of(decision, None);
    json!({
        "function": NAME, "resource": line.resource, "decision": line.decision, "reason": line.reason,
        "facts": line.facts, "text": text, "plan": line.plan, "failing": decision.failing, "observed": observed,
    })
}
