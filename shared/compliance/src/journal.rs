//! The journal entries of decisions, each with the observation that it was made from.

use jiff::Timestamp;
use mesh::compliance::Topic;
use mesh::name::ResourcePath;
use mesh::policy::Policy;
use ports::{ReportStore, store_observation};
use records::{ComplianceObservation, DecisionEntry, Function, JournalBody, Observation as Recorded, ObservedRef};

use crate::name;
use crate::observe::Observation;

/// The maximum size of an inline observation, in bytes. Larger observations are stored in the report store: an item of
/// the state table is limited to 400 KB, and each mesh has many entries.
const LARGEST_INLINE: usize = 32 * 1024;

/// Stores the observation of a mesh's decisions.
pub(crate) async fn observed(
    reports: &dyn ReportStore,
    topic: Topic,
    observation: &Observation,
    policy: &Policy,
    now: Timestamp,
) -> ObservedRef {
    let recorded = ComplianceObservation { now, facts: observation.recorded(), policy: policy.clone() };
    let mesh = ResourcePath::Mesh(observation.facts.mesh.name.clone());
    let object = |_: &str| format!("observations/{}/{mesh}/{}.json", name(topic), now.as_millisecond());
    store_observation(reports, &Recorded::Compliance(topic, Box::new(recorded)), LARGEST_INLINE, object).await
}

/// The entry at the beginning of a change.
pub(crate) fn begun(topic: Topic, line: &runner::Decision, observed: Option<ObservedRef>) -> JournalBody {
    JournalBody::Begun { function: function(topic), decision: DecisionEntry::from(line), observed }
}

/// The entry about decisions that were reported.
pub(crate) fn decided(topic: Topic, lines: &[runner::Decision], observed: Option<ObservedRef>) -> JournalBody {
    let decisions = lines.iter().map(DecisionEntry::from).collect();
    JournalBody::Decided { function: function(topic), decisions, observed }
}

const fn function(topic: Topic) -> Function {
    match topic {
        Topic::Tags => Function::TagCompliance,
        Topic::Egress => Function::EgressCompliance,
    }
}
