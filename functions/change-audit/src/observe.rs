//! Reads a mesh as a whole, or only the resources that were written.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use ports::{Pace, PortError, PortErrorKind, Surveyed, reread, survey};
use rules::audit::{ResourceSnapshot, Snapshot, Write, WriteKind};

use crate::Ports;

/// The most resources that are read on their own and are newer than the rest of the state. For more resources, a full
/// read costs little more, and the stored read times would grow.
const MOST_AGAIN: usize = 100;

/// How old the rest of a mesh may be while only the resources that events name are read. The schedule reads every mesh
/// as a whole each hour. If it did not read a mesh, the next event leads to a full read.
const WHOLE_AFTER: SignedDuration = SignedDuration::from_mins(150);

/// Why the changes of a mesh are not known.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The error of the failed call.
    pub(crate) error: PortError,
}

/// The state of a mesh, as far as it could be read.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The mesh. An unread resource keeps its last known state, so that it looks neither deleted nor changed.
    pub(crate) snapshot: Snapshot,
    /// The resources that could not be described, with the errors.
    pub(crate) unread: Vec<(ResourcePath, PortError)>,
    /// The resources with tags that could not be listed, with the errors.
    pub(crate) unread_tags: Vec<(ResourcePath, PortError)>,
}

impl Observed {
    /// Whether the effect of a write is not known, because the resource or its tags could not be read.
    pub(crate) fn hides(&self, write: &Write) -> bool {
        let is_of =
            |unread: &[(ResourcePath, PortError)]| unread.iter().any(|(path, _)| write.resource.as_ref() == Some(path));
        is_of(&self.unread) || (write.kind() == WriteKind::Tags && is_of(&self.unread_tags))
    }

    /// All resources and tags that could not be read, with the errors.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &(ResourcePath, PortError)> {
        self.unread.iter().chain(&self.unread_tags)
    }
}

/// The part of a mesh that is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole mesh.
    Whole,
    /// Only these resources; the rest keeps its last known state.
    Written(BTreeSet<ResourcePath>),
}

impl Scope {
    /// The part to read, given the last state of the mesh and the writes since.
    pub(crate) fn new(last: Option<&Snapshot>, writes: &[Write], now: Timestamp) -> Self {
        let Some(last) = last.filter(|last| now.duration_since(last.at) < WHOLE_AFTER) else { return Self::Whole };
        let mut paths = BTreeSet::new();
        for write in writes.iter().filter(|write| write.error.is_none()) {
            match &write.resource {
                Some(path) if path.kind() != ResourceKind::Mesh || is_of_one(write) => paths.insert(path.clone()),
                Some(_) | None => return Self::Whole,
            };
        }
        let new = paths.iter().filter(|path| !last.later.contains_key(*path)).count();
        // Reading half of a mesh one by one takes as many calls as its lists and the other half.
        let is_few = paths.len() * 2 <= last.resources.len() && last.later.len() + new <= MOST_AGAIN;
        if paths.is_empty() || !is_few { Self::Whole } else { Self::Written(paths) }
    }
}

/// Whether a write to a mesh changes only the mesh itself. A creation or deletion of the mesh also affects its children.
fn is_of_one(write: &Write) -> bool {
    !matches!(write.operation.as_str(), "CreateMesh" | "DeleteMesh")
}

/// Reads a mesh, or only the resources that were written. A mesh that doesn't exist has no resources.
pub(crate) async fn observe(
    ports: &Ports,
    mesh: &MeshName,
    last: Option<&Snapshot>,
    writes: &[Write],
    pace: &mut Pace,
    now: Timestamp,
) -> Result<Observed, Unread> {
    match (Scope::new(last, writes, now), last) {
        (Scope::Written(paths), Some(last)) => Ok(again(ports, last, paths, pace, now).await),
        (Scope::Written(_) | Scope::Whole, _) => whole(ports, mesh, last, pace, now).await,
    }
}

async fn whole(
    ports: &Ports,
    mesh: &MeshName,
    last: Option<&Snapshot>,
    pace: &mut Pace,
    now: Timestamp,
) -> Result<Observed, Unread> {
    let mut snapshot =
        Snapshot { mesh: mesh.clone(), at: now, later: [].into(), resources: [].into(), unread: [].into() };
    let read = match survey(ports.meshes.as_ref(), mesh, pace).await {
        Ok(read) => read,
        Err(error) if error.kind == PortErrorKind::NotFound => {
            return Ok(Observed { snapshot, unread: Vec::new(), unread_tags: Vec::new() });
        }
        Err(error) => return Err(Unread { error }),
    };
    let root = ResourcePath::Mesh(mesh.clone());
    let (of_root, unread): (Vec<_>, Vec<_>) = read.unread.into_iter().partition(|(path, _)| *path == root);
    if let Some((_, error)) = of_root.into_iter().next() {
        return Err(Unread { error });
    }
    for (path, found) in read.resources {
        let found = with_last_tags(found, &path, last);
        snapshot.resources.insert(path, found);
    }
    for (path, _) in &unread {
        if let Some((last, seen)) = last.and_then(|last| Some((last, last.resources.get(path)?))) {
            snapshot.resources.insert(path.clone(), seen.clone());
            snapshot.later.insert(path.clone(), last.read_at(path));
        } else if last.is_none_or(|last| last.unread.contains(path)) {
            // It may have existed before. A resource that was in no earlier list is new.
            snapshot.unread.insert(path.clone());
        }
    }
    Ok(Observed { snapshot, unread, unread_tags: read.unread_tags })
}

/// Returns the last state with these resources re-read.
async fn again(
    ports: &Ports,
    last: &Snapshot,
    paths: BTreeSet<ResourcePath>,
    pace: &mut Pace,
    now: Timestamp,
) -> Observed {
    let read = reread(ports.meshes.as_ref(), paths.into_iter().collect(), pace).await;
    let mut snapshot = last.clone();
    for (path, found) in read.resources {
        snapshot.later.insert(path.clone(), now);
        snapshot.unread.remove(&path);
        match found {
            Some(found) => {
                let found = with_last_tags(found, &path, Some(last));
                drop(snapshot.resources.insert(path, found));
            }
            None => drop(snapshot.resources.remove(&path)),
        }
    }
    Observed { snapshot, unread: read.unread, unread_tags: read.unread_tags }
}

/// Combines a resource with its tags. Tags that could not be listed keep their last known values.
fn with_last_tags(found: Surveyed, path: &ResourcePath, last: Option<&Snapshot>) -> ResourceSnapshot {
    let Surveyed { resource, tags } = found;
    let of_last = || last.and_then(|last| last.resources.get(path)).and_then(|seen| seen.tags.clone());
    ResourceSnapshot { resource, tags: tags.or_else(of_last) }
}
