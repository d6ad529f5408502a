//! Reads what a decision is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::join;
use jiff::{SignedDuration, Timestamp};
use mesh::compliance::{About, Facts, Record, Topic};
use mesh::name::{MeshName, ResourcePath};
use ports::{BudgetWindow, Pace, PortError, PortErrorKind, StateKey, StateView, Surveyed, survey};
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
    /// The revision of the mesh's record as read, 0 when there is none; or why the state table could not be read, so
    /// that nothing may be changed.
    pub(crate) revision: Result<u64, PortError>,
}

impl Observation {
    /// What the service says of a resource.
    pub(crate) fn about(&self, path: &ResourcePath) -> Option<&About> {
        self.facts.about.get(path)
    }

    /// The facts as data: enough to decide again.
    pub(crate) fn recorded(&self) -> Value {
        let resource = |(path, read): (&ResourcePath, &Surveyed)| json!({ "kind": path.kind(), "resource": read.resource.to_json(), "tags": read.tags.iter().collect::<BTreeMap<_, _>>() });
        json!({
            "mesh": self.facts.mesh.name,
            "resources": self.resources.iter().map(resource).collect::<Vec<_>>(),
            "record": self.facts.record,
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
    let (resources, state) = join!(read(ports, warm, mesh, since), ports.state.load(&keys, window));
    let resources = resources?;
    let of_mesh = resources.values().map(|read| (read.resource.clone(), Some(read.tags.clone())));
    let mut facts = Facts::of(mesh, of_mesh)
        .map_err(|error| PortError::new(format!("read mesh {mesh}"), PortErrorKind::Other, error.to_string()))?;
    let revision = state.and_then(|state| remember(&mut facts, &state, &key));
    Ok(Observation { facts, resources, revision })
}

/// Puts what the state table has among the facts; gives the revision of the mesh's record.
fn remember(facts: &mut Facts, state: &StateView, key: &StateKey) -> Result<u64, PortError> {
    facts.kill_switch = state.kill_switch.as_ref().map(|switch| (switch.by.clone(), switch.reason.clone()));
    facts.budget_used = state.budget.used;
    let Some(stored) = state.documents.get(key) else { return Ok(0) };
    facts.record = serde_json::from_value::<Record>(stored.document.clone()).map_err(|error| {
        let call = format!("read what is remembered as {}", key.as_str());
        PortError::new(call, PortErrorKind::Other, error.to_string())
    })?;
    Ok(stored.revision)
}

async fn read(
    ports: &Ports,
    warm: &Mutex<Warm>,
    mesh: &MeshName,
    since: Option<Timestamp>,
) -> Result<Arc<BTreeMap<ResourcePath, Surveyed>>, PortError> {
    let taken = ports.clock.now();
    let mut warm = warm.lock().await;
    if let Some(known) = warm.readings.get(mesh)
        && since.is_some_and(|since| known.answers(since, taken))
    {
        return Ok(Arc::clone(&known.resources));
    }
    warm.readings.remove(mesh);
    let read = survey(ports.meshes.as_ref(), mesh, &mut warm.pace).await?;
    if let Some((path, error)) = read.unread.into_iter().next() {
        tracing::warn!(%path, "a mesh of which something can't be read is not judged");
        return Err(error);
    }
    let resources = Arc::new(read.resources);
    warm.readings.insert(mesh.clone(), Reading { taken, resources: Arc::clone(&resources) });
    Ok(resources)
}

/// The mesh was written, so that what was read of it is not how it is any more.
pub(crate) async fn forget(warm: &Mutex<Warm>, mesh: &MeshName) {
    warm.lock().await.readings.remove(mesh);
}
