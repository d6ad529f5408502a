//! Reads what a decision is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::join;
use jiff::{SignedDuration, Timestamp};
use mesh::compliance::{About, Facts, Record, StateAccess, Topic, Unread, UnreadPart};
use mesh::name::{MeshName, ResourcePath};
use ports::{
    BudgetWindow, DocumentError, Pace, PortError, PortErrorKind, StateKey, StateView, Surveyed, read_document, survey,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{Ports, name};

/// Calls at a time, to begin with and at the most. App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: (usize, usize) = (8, 40);

/// For how long a burst of events is answered from one reading. A deployment's changes arrive within seconds of each
/// other; what is older is read again, so that a missed event costs a minute at most.
const BURST: SignedDuration = SignedDuration::from_secs(60);

/// How far the clocks of two services may be apart. What was read less than this after an event may miss the change
/// that the event tells of.
const SKEW: SignedDuration = SignedDuration::from_secs(1);

/// What a warm function remembers from one invocation to the next. Losing it costs calls and nothing else.
#[derive(Debug)]
pub(crate) struct Warm {
    pace: Pace,
    readings: BTreeMap<MeshName, Reading>,
}

impl Default for Warm {
    fn default() -> Self {
        let (start, most) = AT_A_TIME;
        Self { pace: Pace::new(start, most), readings: BTreeMap::new() }
    }
}

/// A mesh as it was read.
#[derive(Clone, Debug)]
struct Reading {
    /// When the reading began.
    taken: Timestamp,
    resources: Arc<BTreeMap<ResourcePath, Surveyed>>,
    unread: BTreeMap<ResourcePath, Unread>,
}

impl Reading {
    /// Whether it shows what an event of then tells of, and is still of the same burst.
    fn answers(&self, since: Timestamp, now: Timestamp) -> bool {
        self.taken.duration_since(since) >= SKEW && now.duration_since(self.taken) < BURST
    }
}

/// One mesh as it was read: what is decided from, and what is needed to act.
#[derive(Debug)]
pub(crate) struct Observation {
    /// What is decided from.
    pub(crate) facts: Facts,
    /// The resources as read, with everything that has to survive a write.
    pub(crate) resources: Arc<BTreeMap<ResourcePath, Surveyed>>,
    /// The revision of the mesh's record as read, 0 when there is none; unset where the record could not be read, so
    /// that nothing may be changed. The facts have the reason.
    pub(crate) revision: Option<u64>,
    /// Why the record could not be read.
    pub(crate) state_error: Option<StateError>,
}

/// Why what is remembered of a mesh could not be read.
#[derive(Debug)]
pub(crate) enum StateError {
    /// The table did not answer.
    Unreachable(PortError),
    /// The document cannot be read.
    Unreadable(DocumentError),
}

impl Observation {
    /// What the service says of a resource.
    pub(crate) fn about(&self, path: &ResourcePath) -> Option<&About> {
        self.facts.about.get(path)
    }

    /// The facts as data: enough to decide again.
    pub(crate) fn recorded(&self) -> Value {
        let resource = |(path, read): (&ResourcePath, &Surveyed)| json!({ "kind": path.kind(), "resource": read.resource.to_json(), "tags": read.tags.as_ref().map(|tags| tags.iter().collect::<BTreeMap<_, _>>()) });
        json!({
            "mesh": self.facts.mesh.name,
            "resources": self.resources.iter().map(resource).collect::<Vec<_>>(),
            "unread": self.facts.unread,
            "record": self.facts.record,
            "state": self.facts.state,
            "killSwitch": self.facts.kill_switch,
            "budgetUsed": self.facts.budget_used,
        })
    }
}

/// Where the state table keeps what is remembered of a mesh.
pub(crate) fn key(topic: Topic, mesh: &MeshName) -> StateKey {
    StateKey::mesh(name(topic), mesh)
}

/// Every mesh there is.
pub(crate) async fn meshes(ports: &Ports) -> Result<Vec<MeshName>, PortError> {
    let found = ports.meshes.meshes().await?;
    Ok(found.into_iter().map(|found| found.path.mesh().clone()).collect())
}

/// Reads one mesh whole, and what the state table has of it. `since`: what is read must be newer than this, and may be
/// from the same burst; unset, it is read now.
pub(crate) async fn mesh(
    ports: &Ports,
    warm: &Mutex<Warm>,
    topic: Topic,
    mesh: &MeshName,
    since: Option<Timestamp>,
    window: &BudgetWindow,
) -> Result<Observation, PortError> {
    let key = key(topic, mesh);
    let keys = [key.clone()];
    let (reading, state) = join!(read(ports, warm, mesh, since), ports.state.load(&keys, window));
    let Reading { resources, mut unread, .. } = reading?;
    if topic == Topic::Egress {
        // What leaves a mesh does not follow from tags.
        unread.retain(|_, unread| unread.part != UnreadPart::Tags);
    }
    let of_mesh = resources.values().map(|read| (read.resource.clone(), read.tags.clone()));
    let facts = Facts::of(mesh, of_mesh).and_then(|facts| facts.with_unread(unread));
    let mut facts =
        facts.map_err(|error| PortError::new(format!("read mesh {mesh}"), PortErrorKind::Other, error.to_string()))?;
    let (revision, state_error) = match state
        .map_err(StateError::Unreachable)
        .and_then(|state| remember(&mut facts, &state, &key).map_err(StateError::Unreadable))
    {
        Ok(revision) => (Some(revision), None),
        Err(error) => {
            facts.state = error.access();
            (None, Some(error))
        }
    };
    Ok(Observation { facts, resources, revision, state_error })
}

/// Puts what the state table has among the facts; gives the revision of the mesh's record.
fn remember(facts: &mut Facts, state: &StateView, key: &StateKey) -> Result<u64, DocumentError> {
    facts.kill_switch = state.kill_switch.as_ref().map(|switch| (switch.by.clone(), switch.reason.clone()));
    facts.budget_used = state.budget.used;
    let Some(stored) = state.documents.get(key) else { return Ok(0) };
    facts.record = read_document::<Record>(key, &stored.document, Record::FORMAT)?;
    Ok(stored.revision)
}

impl StateError {
    /// The same as a fact of a decision.
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
    warm: &Mutex<Warm>,
    mesh: &MeshName,
    since: Option<Timestamp>,
) -> Result<Reading, PortError> {
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
            // Without the mesh's own spec and ARN nothing can be said of anything in it.
            return Err(error);
        }
        tracing::warn!(%path, %error, "failed to read a resource; it is not judged");
        unread.extend([unread_of(UnreadPart::Resource)((path, error))]);
    }
    let reading = Reading { taken, resources: Arc::new(read.resources), unread };
    // What could not be read is read again for the next event of a burst.
    if reading.unread.is_empty() {
        warm.readings.insert(mesh.clone(), reading.clone());
    }
    Ok(reading)
}

fn unread(part: UnreadPart, error: &PortError) -> Unread {
    Unread { part, error: error.to_string(), transient: error.kind.may_heal() }
}

/// The mesh was written, so that what was read of it is not how it is any more.
pub(crate) async fn forget(warm: &Mutex<Warm>, mesh: &MeshName) {
    warm.lock().await.readings.remove(mesh);
}
