//! Reads the input of a decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::join;
use jiff::{SignedDuration, Timestamp};
use mesh::name::{MeshName, ResourcePath};
use policy::Policy;
use ports::{BudgetWindow, DocumentError, Pace, PortError, PortErrorKind, StateKey, StateView, Surveyed, survey};
use records::{ComplianceFacts, ComplianceObservation, Observation as RecordedObservation, read_record};
use rules::compliance::{
    ComplianceRecord as Record, ResourceDetails, ResourceFacts as Facts, StateAccess, Topic, UnreadPart,
    UnreadResource as Unread,
};
use runner::ObservationData;
use tokio::sync::Mutex;

use crate::{Ports, name};

/// The initial and the maximum number of concurrent calls. App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: (usize, usize) = (8, 40);

/// How long one reading serves a burst of events. The changes of a deployment arrive within seconds; an older reading
/// is repeated, so that a missed event delays a decision by at most a minute.
const BURST: SignedDuration = SignedDuration::from_secs(60);

/// The tolerated clock skew between two services. A reading may lack the change of an event that is less than this
/// older than its begin.
const SKEW: SignedDuration = SignedDuration::from_secs(1);

/// The state that a warm function keeps between invocations. Losing it only costs additional calls.
#[derive(Debug)]
pub(crate) struct WarmCache {
    pace: Pace,
    readings: BTreeMap<MeshName, MeshReading>,
}

impl Default for WarmCache {
    fn default() -> Self {
        let (start, most) = AT_A_TIME;
        Self { pace: Pace::new(start, most), readings: BTreeMap::new() }
    }
}

/// One reading of a mesh.
#[derive(Clone, Debug)]
struct MeshReading {
    /// When the reading began.
    taken: Timestamp,
    resources: Arc<BTreeMap<ResourcePath, Surveyed>>,
    unread: BTreeMap<ResourcePath, Unread>,
}

impl MeshReading {
    /// Whether the reading includes the change of an event at `since`, and belongs to the same burst.
    fn answers(&self, since: Timestamp, now: Timestamp) -> bool {
        self.taken.duration_since(since) >= SKEW && now.duration_since(self.taken) < BURST
    }
}

/// One observation of a mesh: the input of the decision, and of its execution.
#[derive(Debug)]
pub(crate) struct Observation {
    topic: Topic,
    /// The input of the decision.
    pub(crate) facts: Facts,
    /// The resources as read, with all members that must survive a write.
    pub(crate) resources: Arc<BTreeMap<ResourcePath, Surveyed>>,
    /// The revision of the mesh's record, 0 if there is none. `None` if the record could not be read; then nothing is
    /// changed, and the facts have the reason.
    pub(crate) revision: Option<u64>,
    /// The error of reading the record.
    pub(crate) state_error: Option<StateError>,
}

/// The reason why the record of a mesh could not be read.
#[derive(Debug)]
pub(crate) enum StateError {
    /// The call to the state table failed.
    Unreachable(PortError),
    /// The document cannot be read.
    Unreadable(DocumentError),
}

impl Observation {
    /// The topic of the function that observed.
    pub(crate) const fn topic(&self) -> Topic {
        self.topic
    }

    /// The metadata of a resource.
    pub(crate) fn about(&self, path: &ResourcePath) -> Option<&ResourceDetails> {
        self.facts.about.get(path)
    }
}

impl ObservationData for Observation {
    fn recorded(&self, policy: &Policy, now: Timestamp) -> RecordedObservation {
        let resources = self.resources.values().map(|read| (&read.resource, read.tags.as_ref()));
        let facts = ComplianceFacts::new(&self.facts, resources);
        let observation = ComplianceObservation { now, facts, policy: policy.clone() };
        RecordedObservation::Compliance(self.topic, Box::new(observation))
    }

    fn object(&self, now: Timestamp, _: &str) -> String {
        let mesh = ResourcePath::Mesh(self.facts.mesh.name.clone());
        format!("observations/{}/{mesh}/{}.json", name(self.topic), now.as_millisecond())
    }
}

/// The key of a mesh's record in the state table.
pub(crate) fn key(topic: Topic, mesh: &MeshName) -> StateKey {
    StateKey::mesh(name(topic), mesh)
}

/// All meshes.
pub(crate) async fn meshes(ports: &Ports) -> Result<Vec<MeshName>, PortError> {
    let found = ports.meshes.meshes().await?;
    Ok(found.into_iter().map(|found| found.path.mesh().clone()).collect())
}

/// Reads all resources of one mesh, and its record. The data must be read after `since`, and may come from an earlier
/// reading of the same burst; without `since` it is read now.
pub(crate) async fn mesh(
    ports: &Ports,
    warm: &Mutex<WarmCache>,
    topic: Topic,
    mesh: &MeshName,
    since: Option<Timestamp>,
    window: &BudgetWindow,
) -> Result<Observation, PortError> {
    let key = key(topic, mesh);
    let keys = [key.clone()];
    let (reading, state) = join!(read(ports, warm, mesh, since), ports.state.load(&keys, window));
    let MeshReading { resources, mut unread, .. } = reading?;
    if topic == Topic::Egress {
        // Egress does not depend on tags.
        unread.retain(|_, unread| unread.part != UnreadPart::Tags);
    }
    let of_mesh = resources.values().map(|read| (read.resource.clone(), read.tags.clone()));
    let facts = Facts::from_resources(mesh, of_mesh).and_then(|facts| facts.with_unread(unread));
    let mut facts =
        facts.map_err(|error| PortError::new(format!("read mesh {mesh}"), PortErrorKind::Other, error.to_string()))?;
    let (revision, state_error) = match state
        .map_err(StateError::Unreachable)
        .and_then(|state| add_state(&mut facts, &state, &key).map_err(StateError::Unreadable))
    {
        Ok(revision) => (Some(revision), None),
        Err(error) => {
            facts.state = error.access();
            (None, Some(error))
        }
    };
    Ok(Observation { topic, facts, resources, revision, state_error })
}

/// Adds the state table's documents to the facts; returns the revision of the mesh's record.
fn add_state(facts: &mut Facts, state: &StateView, key: &StateKey) -> Result<u64, DocumentError> {
    facts.kill_switch = state.kill_switch.as_ref().map(|switch| (switch.by.clone(), switch.reason.clone()));
    facts.budget_used = state.budget.used;
    let Some(stored) = state.documents.get(key) else { return Ok(0) };
    facts.record = read_record::<Record>(key, &stored.document)?;
    Ok(stored.revision)
}

impl StateError {
    /// The error as a fact of the decision.
    fn access(&self) -> StateAccess {
        match self {
            Self::Unreachable(error) => StateAccess::Unreachable { error: error.to_string() },
            Self::Unreadable(error) => StateAccess::Unreadable {
                document: error.key().to_owned(),
                newer_format: match error {
                    DocumentError::NewerFormat { format, .. } => Some(*format),
                    DocumentError::Malformed { .. } => None,
                },
                error: error.to_string(),
            },
        }
    }
}

async fn read(
    ports: &Ports,
    warm: &Mutex<WarmCache>,
    mesh: &MeshName,
    since: Option<Timestamp>,
) -> Result<MeshReading, PortError> {
    let taken = ports.clock.now();
    let mut warm = warm.lock().await;
    if let Some(known) = warm.readings.get(mesh)
        && since.is_some_and(|since| known.answers(since, taken))
    {
        return Ok(known.clone());
    }
    warm.readings.remove(mesh);
    let read = survey(ports.meshes.as_ref(), mesh, &mut warm.pace).await?;
    let unread_of = |part| move |(path, error): (ResourcePath, PortError)| (path, unread(part, &error));
    let mut unread: BTreeMap<ResourcePath, Unread> =
        read.unread_tags.into_iter().map(unread_of(UnreadPart::Tags)).collect();
    let root = ResourcePath::Mesh(mesh.clone());
    for (path, error) in read.unread {
        if path == root {
            // Without the mesh's own spec and ARN, none of its resources can be evaluated.
            return Err(error);
        }
        tracing::warn!(%path, %error, "failed to read resource");
        unread.extend([unread_of(UnreadPart::Resource)((path, error))]);
    }
    let reading = MeshReading { taken, resources: Arc::new(read.resources), unread };
    // Unread resources are read again for the next event of a burst.
    if reading.unread.is_empty() {
        warm.readings.insert(mesh.clone(), reading.clone());
    }
    Ok(reading)
}

fn unread(part: UnreadPart, error: &PortError) -> Unread {
    Unread { part, error: error.to_string(), transient: error.kind.may_heal() }
}

/// Drops the cached reading of a mesh that was written.
pub(crate) async fn drop_reading(warm: &Mutex<WarmCache>, mesh: &MeshName) {
    warm.lock().await.readings.remove(mesh);
}
