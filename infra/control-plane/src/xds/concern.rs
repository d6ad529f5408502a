//! Whom a change concerns.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use mesh::graph::{Caller, Links, Mesh};
use mesh::name::{MeshName, ResourcePath, VirtualNodeName, VirtualServiceName};
use xds::Proxy;

/// The proxies of a mesh that may have to be told something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concern {
    /// All of them.
    All,
    /// These.
    Some(BTreeSet<Proxy>),
}

impl Concern {
    pub(super) fn covers(&self, proxy: &Proxy) -> bool {
        match self {
            Self::All => true,
            Self::Some(proxies) => proxies.contains(proxy),
        }
    }

    /// These as well.
    pub(super) fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Some(proxies), Self::Some(others)) => proxies.extend(others),
            (Self::All, _) => {}
            (Self::Some(_), Self::All) => *self = Self::All,
        }
    }
}

/// Adds one mesh's concern after the other.
pub(super) fn join(concerns: &mut BTreeMap<MeshName, Concern>, others: BTreeMap<MeshName, Concern>) {
    for (mesh, other) in others {
        match concerns.entry(mesh) {
            Entry::Vacant(place) => {
                place.insert(other);
            }
            Entry::Occupied(mut concern) => concern.get_mut().widen(other),
        }
    }
}

/// Whom changes to these resources concern, in the mesh as it is after them.
///
/// The mesh before them is not needed: an end of an edge that went away is itself among the changes, and what its own
/// spec doesn't say about who calls it didn't change with it. A proxy sees its own resource, its backends, their
/// providers, the routes of those and the targets of the routes, and nothing further.
pub(super) fn concerned<'a>(mesh: &Mesh, changed: impl IntoIterator<Item = &'a ResourcePath>) -> Concern {
    let mut by_links = Vec::new();
    let mut proxies = BTreeSet::new();
    for path in changed {
        match path {
            ResourcePath::Mesh(_) => return Concern::All,
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
        let links = Links::of(mesh);
        for path in by_links {
            callers(&links, path, &mut proxies);
        }
    }
    Concern::Some(proxies)
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

/// The proxies that send to a node.
fn callers_of_node(links: &Links<'_>, node: &VirtualNodeName) -> impl Iterator<Item = Proxy> {
    links.callers_of_node(node).into_iter().map(|caller| proxy(&caller))
}

fn proxy(caller: &Caller) -> Proxy {
    match caller {
        Caller::VirtualNode(name) => Proxy::Node(name.clone()),
        Caller::VirtualGateway(name) => Proxy::Gateway(name.clone()),
    }
}
