//! Reads a mesh whole, or what was written of it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mesh::audit::{ResourceSnapshot, Snapshot, Write, WriteKind};
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use ports::{Pace, PortError, PortErrorKind, Surveyed, reread, survey};

use crate::Ports;

/// The most resources that are read by themselves, and are known to be newer than the rest: of more, reading the mesh
/// whole is not much dearer, and what is remembered of them would grow.
const MOST_AGAIN: usize = 100;

/// How old the rest of a mesh may be while only what events name is read. The schedule reads every mesh whole each hour;
/// a mesh that it did not come to is read whole by the next event.
const WHOLE_AFTER: SignedDuration = SignedDuration::from_mins(150);

/// Why nobody can say what has changed.
#[derive(Debug)]
pub(crate) struct Unread {
    /// What failed.
    pub(crate) error: PortError,
}

/// A mesh as it is, as far as it could be read.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The mesh. A resource that could not be read stands in it as it was last seen, so that it looks neither deleted nor
    /// changed.
    pub(crate) snapshot: Snapshot,
    /// Resources that could not be described, and why.
    pub(crate) unread: Vec<(ResourcePath, PortError)>,
    /// Resources whose tags could not be listed, and why.
    pub(crate) unread_tags: Vec<(ResourcePath, PortError)>,
}

impl Observed {
    /// Whether nobody can say what a write did, because what it wrote could not be read.
    pub(crate) fn hides(&self, write: &Write) -> bool {
        let is_of =
            |unread: &[(ResourcePath, PortError)]| unread.iter().any(|(path, _)| write.resource.as_ref() == Some(path));
        is_of(&self.unread) || (write.kind() == WriteKind::Tags && is_of(&self.unread_tags))
    }

    /// Everything that could not be read, and why.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &(ResourcePath, PortError)> {
        self.unread.iter().chain(&self.unread_tags)
    }
}

/// How much of a mesh is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of it.
    Whole,
    /// Only these; the rest is as it was last seen.
    Written(BTreeSet<ResourcePath>),
}

impl Scope {
    /// What is to be read of a mesh that was last seen so, after these writes.
    pub(crate) fn of(last: Option<&Snapshot>, writes: &[Write], now: Timestamp) -> Self {
        let Some(last) = last.filter(|last| now.duration_since(last.at) < WHOLE_AFTER) else { return Self::Whole };
        let mut paths = BTreeSet::new();
        for write in writes.iter().filter(|write| write.error.is_none()) {
            match &write.resource {
                Some(path) if path.kind() != ResourceKind::Mesh || is_of_one(write) => paths.insert(path.clone()),
                Some(_) | None => return Self::Whole,
            };
        }
        let new = paths.iter().filter(|path| !last.later.contains_key(*path)).count();
        // Half of a mesh, one by one, is as many calls as its lists and the other half.
        let is_few = paths.len() * 2 <= last.resources.len() && last.later.len() + new <= MOST_AGAIN;
        if paths.is_empty() || !is_few { Self::Whole } else { Self::Written(paths) }
    }
}

/// Whether a write to a mesh changes nothing below it. One that makes or deletes the mesh does.
fn is_of_one(write: &Write) -> bool {
    !matches!(write.operation.as_str(), "CreateMesh" | "DeleteMesh")
}

/// Reads a mesh, or what was written of it. One that doesn't exist has no resources.
pub(crate) async fn observe(
    ports: &Ports,
    mesh: &MeshName,
    last: Option<&Snapshot>,
    writes: &[Write],
    pace: &mut Pace,
    now: Timestamp,
) -> Result<Observed, Unread> {
    match (Scope::of(last, writes, now), last) {
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
            // It may have been there all the time. One that was in no list before is new.
            snapshot.unread.insert(path.clone());
        }
    }
    Ok(Observed { snapshot, unread, unread_tags: read.unread_tags })
}

/// The last state with these resources as they are now.
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

/// A resource as it is. Tags that could not be listed are those that it had.
fn with_last_tags(found: Surveyed, path: &ResourcePath, last: Option<&Snapshot>) -> ResourceSnapshot {
    let Surveyed { resource, tags } = found;
    let of_last = || last.and_then(|last| last.resources.get(path)).and_then(|seen| seen.tags.clone());
    ResourceSnapshot { resource, tags: tags.or_else(of_last) }
}
