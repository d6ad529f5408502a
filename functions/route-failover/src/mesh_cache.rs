//! The resources of a mesh that a warm function remembers, so that an alarm does not wait for hundreds of calls.
//!
//! The cache only selects the routes to read: the routes that a decision is made for are re-read each time.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use mesh::name::{MeshName, ResourceKind, ResourcePath, RouteId, VirtualNodeName};
use mesh::resource::{Resource, RouteData};
use ports::{MeshReader, PortError, PortErrorKind, ResourceRef};

/// Calls at a time. App Mesh's own controller reads at up to 40 a second. At 20 ms a call, eight at a time read a mesh
/// of 200 nodes in about a second, and one slow page does not let many calls pile up.
const AT_A_TIME: usize = 8;

/// The kinds directly below a mesh.
const CHILDREN: [ResourceKind; 4] = [
    ResourceKind::VirtualNode,
    ResourceKind::VirtualRouter,
    ResourceKind::VirtualService,
    ResourceKind::VirtualGateway,
];

/// Every resource of a mesh as it was last read, by its path.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeshCache {
    resources: BTreeMap<ResourcePath, (ResourceRef, Resource)>,
}

impl MeshCache {
    /// Reads the changes since the last refresh: all lists, and each resource with a changed version.
    pub(crate) async fn refresh(&mut self, meshes: &dyn MeshReader, mesh: &MeshName) -> Result<(), PortError> {
        let root = ResourcePath::Mesh(mesh.clone());
        let below = |parent: ResourcePath, kind| async move { meshes.list(&parent, kind).await };
        let mut refs: Vec<ResourceRef> =
            stream::iter(CHILDREN).map(|kind| below(root.clone(), kind)).buffered(AT_A_TIME).try_concat().await?;
        let parents: Vec<(ResourcePath, ResourceKind)> = refs.iter().filter_map(with_routes).collect();
        let routes: Vec<ResourceRef> = stream::iter(parents)
            .map(|(parent, kind)| empty_if_deleted(below(parent, kind)))
            .buffered(AT_A_TIME)
            .try_concat()
            .await?;
        refs.extend(routes);

        let changed: Vec<ResourceRef> = refs.iter().filter(|found| !self.has(found)).cloned().collect();
        let read: Vec<Option<(ResourceRef, Resource)>> = stream::iter(changed)
            .map(|found| async move {
                match meshes.describe(&found.path).await {
                    Ok(resource) => Ok(Some((found, resource))),
                    // Deleted between the list and now.
                    Err(error) if error.kind == PortErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        let found: BTreeSet<&ResourcePath> = refs.iter().map(|found| &found.path).collect();
        self.resources.retain(|path, _| found.contains(path));
        for (mut found, resource) in read.into_iter().flatten() {
            // The description may be older than the list; then it is read again by the next refresh.
            found.version = resource.metadata().version.get().unsigned_abs();
            self.resources.insert(found.path.clone(), (found, resource));
        }
        Ok(())
    }

    /// The routes that carry or could carry traffic to one of these nodes, and the routes that share a target with
    /// them. A decision about the nodes depends on these routes.
    pub(crate) fn routes_around(&self, nodes: &BTreeSet<VirtualNodeName>) -> BTreeSet<RouteId> {
        let carrying = |nodes: &BTreeSet<VirtualNodeName>| -> Vec<&RouteData> {
            self.routes().filter(|route| targets(route).any(|target| nodes.contains(&target))).collect()
        };
        let mut siblings = nodes.clone();
        siblings.extend(carrying(nodes).into_iter().flat_map(targets));
        carrying(&siblings).into_iter().map(id).collect()
    }

    /// Every route.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &RouteData> {
        self.resources.values().filter_map(|(_, resource)| match resource {
            Resource::Route(route) => Some(route),
            _ => None,
        })
    }

    /// The nodes that a virtual service names as its provider, without a router.
    pub(crate) fn called_directly(&self) -> BTreeSet<VirtualNodeName> {
        let provider = |resource: &Resource| match resource {
            Resource::VirtualService(service) => service.spec.provider.as_ref()?.node().cloned(),
            _ => None,
        };
        self.resources().filter_map(provider).collect()
    }

    /// Every resource.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values().map(|(_, resource)| resource)
    }

    /// Stores routes that were re-read; `None` for a deleted route.
    pub(crate) fn update(&mut self, routes: &BTreeMap<RouteId, Option<RouteData>>) {
        for (id, route) in routes {
            let path = ResourcePath::Route(id.clone());
            match (route, self.resources.get_mut(&path)) {
                (Some(route), Some((found, resource))) => {
                    found.version = version(route);
                    *resource = Resource::Route(route.clone());
                }
                (Some(_) | None, _) => {
                    self.resources.remove(&path);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    fn has(&self, found: &ResourceRef) -> bool {
        self.resources.get(&found.path).is_some_and(|(known, _)| known == found)
    }
}

/// The route's version.
pub(crate) fn version(route: &RouteData) -> u64 {
    route.metadata.version.get().unsigned_abs()
}

/// The route's id.
pub(crate) fn id(route: &RouteData) -> RouteId {
    RouteId::new(route.mesh_name.clone(), route.virtual_router_name.clone(), route.route_name.clone())
}

/// The routes of a mesh, without their specs.
pub(crate) async fn list_routes(meshes: &dyn MeshReader, mesh: &MeshName) -> Result<Vec<RouteId>, PortError> {
    let routers = meshes.list(&ResourcePath::Mesh(mesh.clone()), ResourceKind::VirtualRouter).await?;
    let found: Vec<ResourceRef> = stream::iter(routers)
        .map(|router| async move { empty_if_deleted(meshes.list(&router.path, ResourceKind::Route)).await })
        .buffered(AT_A_TIME)
        .try_concat()
        .await?;
    let id = |found: ResourceRef| match found.path {
        ResourcePath::Route(id) => Some(id),
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::GatewayRoute(..) => None,
    };
    Ok(found.into_iter().filter_map(id).collect())
}

pub(crate) fn targets(route: &RouteData) -> impl Iterator<Item = VirtualNodeName> {
    let split = route.spec.split();
    split.into_iter().flat_map(|split| split.targets().to_vec()).map(|target| target.virtual_node)
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

/// A router that was deleted after it was listed has no routes.
async fn empty_if_deleted(
    listed: impl Future<Output = Result<Vec<ResourceRef>, PortError>>,
) -> Result<Vec<ResourceRef>, PortError> {
    match listed.await {
        Err(error) if error.kind == PortErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}
