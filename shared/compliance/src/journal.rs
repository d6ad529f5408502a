//! What the journal says of a decision: enough to make it again.

use jiff::Timestamp;
use mesh::compliance::Topic;
use mesh::name::ResourcePath;
use mesh::policy::Policy;
use ports::ReportStore;
use serde_json::{Value, json};

use crate::name;
use crate::observe::Observation;

/// Above this an observation goes to the reports store: an item of the state table has at most 400 KB, and a mesh's
/// entries are many.
const LARGEST_INLINE: usize = 32 * 1024;

/// What the decisions about a mesh were made from.
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
            tracing::warn!(%error, %mesh, "the observation is too large for the journal and is not kept");
            json!({ "lost": error.to_string() })
        }
    }
}

/// A decision as the journal has it.
pub(crate) fn body(topic: Topic, line: &lambda_kit::Decision, observed: &Value) -> Value {
    json!({ "function": name(topic), "decision": line, "observed": observed })
}
