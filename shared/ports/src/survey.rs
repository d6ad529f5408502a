//! Reads all resources of a mesh with their tags, with many concurrent calls, and fewer while the server throttles.
//!
//! ```text
//!   lists, all pages ──▶ one call per resource, with adaptive concurrency ──▶ Survey
//! ```

mod pace;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mesh::graph::{InsertError, Mesh};
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use mesh::resource::{Resource, Tags};

use crate::{MeshReader, PortError, PortErrorKind, ResourceRef};

pub use pace::{Answers, Pace};

/// The kinds directly below a mesh.
const CHILDREN: [ResourceKind; 4] = [
    ResourceKind::VirtualNode,
    ResourceKind::VirtualRouter,
    ResourceKind::VirtualService,
    ResourceKind::VirtualGateway,
];

/// A mesh as it was read.
#[derive(Debug, Default)]
pub struct Survey {
    /// The read resources, by path; resources deleted between list and description are not included.
    pub resources: BTreeMap<ResourcePath, Surveyed>,
    /// Existing resources that could not be described, with the error. Without them, they would look deleted.
    pub unread: Vec<(ResourcePath, PortError)>,
    /// Resources of `resources` with tags that could not be listed, with the error.
    pub unread_tags: Vec<(ResourcePath, PortError)>,
    /// The number of calls, including throttled ones; the pages of a list count as one.
    pub calls: u64,
}

/// A resource that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Surveyed {
    /// The resource.
    pub resource: Resource,
    /// Its tags; `None` if they could not be listed, which differs from no tags.
    pub tags: Option<Tags>,
}

/// Reads all resources of a mesh. A failed list fails the survey, since missing resources would be unknown.
pub async fn survey(meshes: &dyn MeshReader, mesh: &MeshName, pace: &mut Pace) -> Result<Survey, PortError> {
    let refs = list_mesh(meshes, mesh, pace).await?;
    let mut paths = vec![ResourcePath::Mesh(mesh.clone())];
    paths.extend(refs.into_iter().map(|found| found.path));
    let mut read = describe_each(meshes, paths, pace).await;
    let root = ResourcePath::Mesh(mesh.clone());
    if matches!(read.resources.get(&root), Some(None)) {
        // The mesh was deleted during the survey, so its remaining resources are being deleted, too.
        return Err(PortError::new(format!("describe {root}"), PortErrorKind::NotFound, "deleted while it was read"));
    }
    // A resource deleted between list and description is not part of the mesh.
    read.resources.retain(|_, found| found.is_some());
    let resources = read.resources.into_iter().filter_map(|(path, found)| Some((path, found?))).collect();
    Ok(Survey { resources, unread: read.unread, unread_tags: read.unread_tags, calls: pace.calls() })
}

/// Some resources that were read again.
#[derive(Debug, Default)]
pub struct Reread {
    /// The resources by path; `None` if deleted.
    pub resources: BTreeMap<ResourcePath, Option<Surveyed>>,
    /// Resources that could not be described, with the error.
    pub unread: Vec<(ResourcePath, PortError)>,
    /// Resources of `resources` with tags that could not be listed, with the error.
    pub unread_tags: Vec<(ResourcePath, PortError)>,
}

/// Reads these resources, and no others of their meshes.
pub async fn reread(meshes: &dyn MeshReader, paths: Vec<ResourcePath>, pace: &mut Pace) -> Reread {
    describe_each(meshes, paths, pace).await
}

/// Describes each of these resources with its tags, with adaptive concurrency.
async fn describe_each(meshes: &dyn MeshReader, paths: Vec<ResourcePath>, pace: &mut Pace) -> Reread {
    // A throttled list of tags must slow the pace down, so it counts as a failed call. If it never succeeds, the
    // resource is still known.
    let described: Mutex<BTreeMap<ResourcePath, Resource>> = Mutex::default();
    let kept = &described;
    let answers = pace
        .each(paths, |path| async move {
            let found = match meshes.describe_with_tags(&path).await {
                Ok(found) => found,
                Err(error) if error.kind == PortErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            match found.tags {
                Err(error) if error.kind == PortErrorKind::Throttled => {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).insert(path, found.resource);
                    Err(error)
                }
                // Either deleted between the two calls, or the server lists no tags for it.
                Err(error) if error.kind == PortErrorKind::NotFound => match meshes.describe(&path).await {
                    Err(gone) if gone.kind == PortErrorKind::NotFound => Ok(None),
                    Ok(_) | Err(_) => Ok(Some((found.resource, Err(error)))),
                },
                tags => Ok(Some((found.resource, tags))),
            }
        })
        .await;
    let mut described = described.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut read = Reread::default();
    for (path, found) in answers.done {
        let surveyed = found.map(|(resource, tags)| match tags {
            Ok(tags) => Surveyed { resource, tags: Some(tags) },
            Err(error) => {
                read.unread_tags.push((path.clone(), error));
                Surveyed { resource, tags: None }
            }
        });
        read.resources.insert(path, surveyed);
    }
    for (path, error) in answers.failed {
        match described.remove(&path) {
            Some(resource) => {
                read.resources.insert(path.clone(), Some(Surveyed { resource, tags: None }));
                read.unread_tags.push((path, error));
            }
            None => read.unread.push((path, error)),
        }
    }
    read
}

/// All resources below a mesh, without specs. A router deleted after it was listed has no routes.
pub async fn list_mesh(
    meshes: &dyn MeshReader,
    mesh: &MeshName,
    pace: &mut Pace,
) -> Result<Vec<ResourceRef>, PortError> {
    let root = ResourcePath::Mesh(mesh.clone());
    let of_mesh = CHILDREN.map(|kind| (root.clone(), kind)).to_vec();
    let mut refs = lists(meshes, of_mesh, pace).await?;
    let parents = refs.iter().filter_map(with_routes).collect();
    refs.extend(lists(meshes, parents, pace).await?);
    Ok(refs)
}

async fn lists(
    meshes: &dyn MeshReader,
    lists: Vec<(ResourcePath, ResourceKind)>,
    pace: &mut Pace,
) -> Result<Vec<ResourceRef>, PortError> {
    let read = pace
        .each(lists, |(parent, kind)| async move {
            match meshes.list(&parent, kind).await {
                Err(error) if error.kind == PortErrorKind::NotFound && parent.kind() != ResourceKind::Mesh => {
                    Ok(Vec::new())
                }
                listed => listed,
            }
        })
        .await;
    match read.failed.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(read.done.into_iter().flat_map(|(_, refs)| refs).collect()),
    }
}

fn with_routes(found: &ResourceRef) -> Option<(ResourcePath, ResourceKind)> {
    match &found.path {
        ResourcePath::VirtualRouter(..) => Some((found.path.clone(), ResourceKind::Route)),
        ResourcePath::VirtualGateway(..) => Some((found.path.clone(), ResourceKind::GatewayRoute)),
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::Route(_)
        | ResourcePath::VirtualService(..)
        | ResourcePath::GatewayRoute(..) => None,
    }
}

impl Survey {
    /// Whether everything was read, including tags.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unread.is_empty() && self.unread_tags.is_empty()
    }

    /// The mesh model, with the known tags.
    pub fn model(&self, name: &MeshName) -> Result<Mesh, InsertError> {
        let mut mesh = Mesh::new(name.clone());
        for (path, Surveyed { resource, tags }) in &self.resources {
            if let Some(tags) = tags {
                mesh.set_tags(path.clone(), tags.clone());
            }
            mesh.insert_resource(resource.clone())?;
        }
        Ok(mesh)
    }
}
