//! The proxies that a change affects.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use mesh::graph::{Links, Mesh, ServiceCaller as Caller};
use mesh::name::{MeshName, ResourcePath, VirtualNodeName, VirtualServiceName};
use xds::Proxy;

/// The proxies of a mesh with snapshots that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Affected {
    /// All proxies.
    All,
    /// These proxies.
    Some(BTreeSet<Proxy>),
}

impl Affected {
    pub(super) fn contains(&self, proxy: &Proxy) -> bool {
        match self {
            Self::All => true,
            Self::Some(proxies) => proxies.contains(proxy),
        }
    }

    /// Adds other proxies.
    pub(super) fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Some(proxies), Self::Some(others)) => proxies.extend(others),
            (Self::All, _) => {}
            (Self::Some(_), Self::All) => *self = Self::All,
        }
    }
}

/// Adds the affected proxies of each mesh.
pub(super) fn join(affected: &mut BTreeMap<MeshName, Affected>, others: BTreeMap<MeshName, Affected>) {
    for (mesh, other) in others {
        match affected.entry(mesh) {
            Entry::Vacant(vacant) => {
                vacant.insert(other);
            }
            Entry::Occupied(mut affected) => affected.get_mut().add(other),
        }
    }
}

/// The proxies that changes of these resources affect, given the mesh after the changes.
///
/// The mesh before the changes is not needed: a removed end of an edge is itself one of the changes, and its callers
/// by other specs did not change with it. A proxy depends on its own resource, its backends, their providers, the
/// routes of those and the targets of the routes, and on nothing further.
pub(super) fn affected_by<'a>(mesh: &Mesh, changed: impl IntoIterator<Item = &'a ResourcePath>) -> Affected {
    let mut by_links = Vec::new();
    let mut proxies = BTreeSet::new();
    for path in changed {
        match path {
            ResourcePath::Mesh(_) => return Affected::All,
            ResourcePath::VirtualGateway(_, gateway) | ResourcePath::GatewayRoute(_, gateway, _) => {
                proxies.insert(Proxy::Gateway(gateway.clone()));
            }
            ResourcePath::VirtualNode(_, node) => {
                proxies.insert(Proxy::Node(node.clone()));
                by_links.push(path);
            }
            ResourcePath::VirtualService(..) | ResourcePath::VirtualRouter(..) | ResourcePath::Route(_) => {
                by_links.push(path);
            }
        }
    }
    if !by_links.is_empty() {
        let links = Links::new(mesh);
        for path in by_links {
            callers(&links, path, &mut proxies);
        }
    }
    Affected::Some(proxies)
}

fn callers(links: &Links<'_>, path: &ResourcePath, into: &mut BTreeSet<Proxy>) {
    let mut of_service = |service: &VirtualServiceName| {
        into.extend(links.callers_of_service(service).map(|caller| proxy(&caller)));
    };
    match path {
        ResourcePath::VirtualService(_, service) => of_service(service),
        ResourcePath::VirtualRouter(_, router) => links.services_of_router(router).for_each(of_service),
        ResourcePath::Route(id) => links.services_of_router(&id.router).for_each(of_service),
        ResourcePath::VirtualNode(_, node) => into.extend(callers_of_node(links, node)),
        ResourcePath::Mesh(_) | ResourcePath::VirtualGateway(..) | ResourcePath::GatewayRoute(..) => {}
    }
}

/// The proxies that call a node.
fn callers_of_node(links: &Links<'_>, node: &VirtualNodeName) -> impl Iterator<Item = Proxy> {
    links.callers_of_node(node).into_iter().map(|caller| proxy(&caller))
}

fn proxy(caller: &Caller) -> Proxy {
    match caller {
        Caller::VirtualNode(name) => Proxy::Node(name.clone()),
        Caller::VirtualGateway(name) => Proxy::Gateway(name.clone()),
    }
}
