//! The journal entry of a decision: enough to make the decision again.

use jiff::Timestamp;
use mesh::failover::{Decision, Verdict};
use mesh::policy::Policy;
use ports::ReportStore;
use serde_json::{Value, json};

use crate::NAME;
use crate::account::{reason, resource};
use crate::observe::Observation;

/// Above this size in bytes, an observation goes to the reports store. An item of the state table has at most 400 KB,
/// and operators read the journal.
const LARGEST_INLINE: usize = 100 * 1024;

/// The body of a journal entry: decision, observation and policy.
pub(crate) async fn body(
    reports: &dyn ReportStore,
    decision: &Decision,
    observation: &Observation,
    policy: &Policy,
    now: Timestamp,
) -> Value {
    let (code, facts, text) = reason(&decision.verdict);
    let resource = resource(&observation.facts.mesh, &decision.subject);
    let observed = json!({
        "now": now,
        "facts": observation.facts,
        "harms": observation.harms_asked(),
        "policy": policy,
    });
    let observed = match observed.to_string() {
        small if small.len() <= LARGEST_INLINE => observed,
        large => {
            let name = format!("observations/{resource}/{}.json", now.as_millisecond());
            match reports.put(&name, large.as_bytes()).await {
                Ok(place) => json!({ "at": place }),
                Err(error) => {
                    tracing::warn!(%error, resource, "failed to store a large observation of a route; its journal entry has none");
                    json!({ "lost": error.to_string() })
                }
            }
        }
    };
    let plan = match &decision.verdict {
        Verdict::Act(plan) => serde_json::to_value(plan).unwrap_or_default(),
        Verdict::Keep(_) | Verdict::Hold(_) => Value::Null,
    };
    json!({ "function": NAME, "resource": resource, "reason": code, "facts": facts, "text": text, "plan": plan, "observed": observed })
}
