//! Reads a mesh whole, or what was written of it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mesh::audit::{Seen, Snapshot, Write};
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
    /// The first failure.
    pub(crate) error: PortError,
    /// What could not be read of a mesh that otherwise was.
    pub(crate) paths: Vec<ResourcePath>,
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

/// Reads a mesh, or what was written of it. One that doesn't exist has no resources; one that can't be read whole is not
/// known at all, since what is missing would look deleted.
pub(crate) async fn observe(
    ports: &Ports,
    mesh: &MeshName,
    last: Option<&Snapshot>,
    writes: &[Write],
    pace: &mut Pace,
    now: Timestamp,
) -> Result<Snapshot, Unread> {
    match (Scope::of(last, writes, now), last) {
        (Scope::Written(paths), Some(last)) => again(ports, last, paths, pace, now).await,
        (Scope::Written(_) | Scope::Whole, _) => whole(ports, mesh, pace, now).await,
    }
}

async fn whole(ports: &Ports, mesh: &MeshName, pace: &mut Pace, now: Timestamp) -> Result<Snapshot, Unread> {
    let snapshot = |resources| Snapshot { mesh: mesh.clone(), at: now, later: [].into(), resources };
    let read = match survey(ports.meshes.as_ref(), mesh, pace).await {
        Ok(read) => read,
        Err(error) if error.kind == PortErrorKind::NotFound => return Ok(snapshot([].into())),
        Err(error) => return Err(Unread { error, paths: Vec::new() }),
    };
    let root = ResourcePath::Mesh(mesh.clone());
    match unread(read.unread) {
        None => {
            let seen = |(path, Surveyed { resource, tags })| (path, Seen { resource, tags });
            Ok(snapshot(read.resources.into_iter().map(seen).collect()))
        }
        // Deleted while it was read.
        Some(Unread { error, paths }) if error.kind == PortErrorKind::NotFound && paths.first() == Some(&root) => {
            Ok(snapshot([].into()))
        }
        Some(unread) => Err(unread),
    }
}

/// The last state with these resources as they are now.
async fn again(
    ports: &Ports,
    last: &Snapshot,
    paths: BTreeSet<ResourcePath>,
    pace: &mut Pace,
    now: Timestamp,
) -> Result<Snapshot, Unread> {
    let read = reread(ports.meshes.as_ref(), paths.into_iter().collect(), pace).await;
    if let Some(unread) = unread(read.unread) {
        return Err(unread);
    }
    let mut snapshot = last.clone();
    for (path, found) in read.resources {
        snapshot.later.insert(path.clone(), now);
        match found {
            Some(Surveyed { resource, tags }) => drop(snapshot.resources.insert(path, Seen { resource, tags })),
            None => drop(snapshot.resources.remove(&path)),
        }
    }
    Ok(snapshot)
}

fn unread(failed: Vec<(ResourcePath, PortError)>) -> Option<Unread> {
    let mut failed = failed.into_iter();
    let (path, error) = failed.next()?;
    let paths = std::iter::once(path).chain(failed.map(|(path, _)| path)).collect();
    Some(Unread { error, paths })
}
