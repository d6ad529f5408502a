//! Every resource of a mesh with its tags, by place.

use std::cmp::Ordering;

use mesh::graph::{Links, Mesh};
use mesh::name::{ResourceKind, ResourcePath};
use mesh::resource::Tags;

/// Every resource of a mesh in the order of the paths, including resources that are only referred to. The place of a
/// resource is its number within its kind plus the number of all resources of the kinds before it.
#[derive(Debug)]
pub(crate) struct Register<'m> {
    entries: Vec<Entry<'m>>,
    first_of_kind: [(ResourceKind, usize); 7],
}

/// A resource with its tags.
#[derive(Debug)]
pub(crate) struct Entry<'m> {
    pub(crate) path: ResourcePath,
    /// `None` if they were not read.
    pub(crate) tags: Option<&'m Tags>,
    /// Whether the resource exists in the mesh.
    pub(crate) exists: bool,
}

impl<'m> Register<'m> {
    pub(crate) fn new(mesh: &'m Mesh, links: &Links<'m>) -> Self {
        let name = || mesh.name.clone();
        let mut entries = Vec::new();
        let mut add = |path, exists| entries.push(Entry { path, tags: None, exists });
        let mut first = 0;
        let first_of_kind = IN_ORDER.map(|kind| {
            let before = first;
            match kind {
                ResourceKind::Mesh => {
                    add(ResourcePath::Mesh(name()), mesh.spec.is_some());
                    first += 1;
                }
                ResourceKind::VirtualNode => {
                    for (node, spec) in links.nodes.iter() {
                        add(ResourcePath::VirtualNode(name(), node.clone()), spec.is_some());
                    }
                    first += links.nodes.count();
                }
                ResourceKind::VirtualGateway => {
                    for (gateway, entry) in links.gateways.iter() {
                        let exists = entry.is_some_and(|entry| entry.spec.is_some());
                        add(ResourcePath::VirtualGateway(name(), gateway.clone()), exists);
                    }
                    first += links.gateways.count();
                }
                ResourceKind::VirtualRouter => {
                    for (router, entry) in links.routers.iter() {
                        let exists = entry.is_some_and(|entry| entry.spec.is_some());
                        add(ResourcePath::VirtualRouter(name(), router.clone()), exists);
                    }
                    first += links.routers.count();
                }
                ResourceKind::Route => {
                    links.routes.iter().for_each(|route| add(ResourcePath::Route(route.id.clone()), true));
                    first += links.routes.len();
                }
                ResourceKind::VirtualService => {
                    for (service, spec) in links.services.iter() {
                        add(ResourcePath::VirtualService(name(), service.clone()), spec.is_some());
                    }
                    first += links.services.count();
                }
                ResourceKind::GatewayRoute => {
                    for route in &links.gateway_routes {
                        if let Some(gateway) = links.gateways.name(route.gateway) {
                            add(ResourcePath::GatewayRoute(name(), gateway.clone(), route.name.clone()), true);
                        }
                    }
                    first += links.gateway_routes.len();
                }
            }
            (kind, before)
        });
        fill_in_tags(&mut entries, mesh);
        Self { entries, first_of_kind }
    }

    /// The place of a resource by its kind and number.
    pub(crate) fn place(&self, kind: ResourceKind, number: usize) -> usize {
        number + self.first(kind)
    }

    /// The number of a resource within its kind, by its place.
    pub(crate) fn number(&self, kind: ResourceKind, place: usize) -> usize {
        place.saturating_sub(self.first(kind))
    }

    /// The resource at a place.
    pub(crate) fn get(&self, place: usize) -> Option<&Entry<'m>> {
        self.entries.get(place)
    }

    /// A resource by its kind and number.
    pub(crate) fn find(&self, kind: ResourceKind, number: usize) -> Option<&Entry<'m>> {
        self.get(self.place(kind, number))
    }

    /// Every existing resource, with its place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Entry<'m>)> {
        self.entries.iter().enumerate().filter(|(_, entry)| entry.exists)
    }

    /// The number of places.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    fn first(&self, kind: ResourceKind) -> usize {
        self.first_of_kind.iter().find(|(other, _)| *other == kind).map_or(0, |(_, first)| *first)
    }
}

/// The kinds in the order of their paths.
const IN_ORDER: [ResourceKind; 7] = [
    ResourceKind::Mesh,
    ResourceKind::VirtualNode,
    ResourceKind::VirtualGateway,
    ResourceKind::VirtualRouter,
    ResourceKind::Route,
    ResourceKind::VirtualService,
    ResourceKind::GatewayRoute,
];

/// Both are sorted by path, so one pass over both is sufficient.
fn fill_in_tags<'m>(entries: &mut [Entry<'m>], mesh: &'m Mesh) {
    let mut known = mesh.tags.iter().peekable();
    for entry in entries {
        while let Some((path, tags)) = known.peek() {
            match (*path).cmp(&entry.path) {
                Ordering::Less => drop(known.next()),
                Ordering::Equal => {
                    entry.tags = Some(tags);
                    break;
                }
                Ordering::Greater => break,
            }
        }
    }
}
