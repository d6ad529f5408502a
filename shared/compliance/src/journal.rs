//! The journal entries of decisions, with the input to replay them.

use jiff::Timestamp;
use mesh::compliance::Topic;
use mesh::name::ResourcePath;
use mesh::policy::Policy;
use ports::ReportStore;
use serde_json::{Value, json};

use crate::name;
use crate::observe::Observation;

/// The maximum size of an inline observation, in bytes. Larger observations are stored in the report store: an item of
/// the state table is limited to 400 KB, and each mesh has many entries.
const LARGEST_INLINE: usize = 32 * 1024;

/// The input of the decisions about a mesh, for the journal.
pub(crate) async fn observed(
    reports: &dyn ReportStore,
    topic: Topic,
    observation: &Observation,
    policy: &Policy,
    now: Timestamp,
) -> Value {
    let observed = json!({ "now": now, "facts": observation.recorded(), "policy": policy });
    let text = observed.to_string();
    if text.len() <= LARGEST_INLINE {
        return observed;
    }
    let mesh = ResourcePath::Mesh(observation.facts.mesh.name.clone());
    let place = format!("observations/{}/{mesh}/{}.json", name(topic), now.as_millisecond());
    match reports.put(&place, text.as_bytes()).await {
        Ok(place) => json!({ "at": place }),
        Err(error) => {
            tracing::warn!(%error, %mesh, "failed to store observation for replay");
            json!({ "lost": error.to_string() })
        }
    }
}

/// The body of a decision's journal entry.
pub(crate) fn body(topic: Topic, line: &lambda_kit::Decision, observed: &Value) -> Value {
    json!({ "function": name(topic), "decision": line, "observed": observed })
}
