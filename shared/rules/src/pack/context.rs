//! The mesh with the indexes and derived facts that several rules need, computed once.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::finding::Finding;
use super::paths::CallPaths;
use crate::egress::Egresses;
use crate::tags::{self, Register, TagFault};
use mesh::certificates::{CertificateSource, Readings};
use mesh::graph::{Gateway, LinkedRoute, Links, Mesh, Provider, Router};
use mesh::name::{
    GatewayRouteName, ResourceKind, ResourcePath, RouteName, VirtualGatewayName, VirtualNodeName, VirtualRouterName,
    VirtualServiceName,
};
use mesh::spec::{
    Backend, ClientPolicy, GatewayRouteSpec, Listener, ListenerTls, Port, RouteSpec, VirtualGatewaySpec,
    VirtualNodeSpec,
};
use mesh::traffic::{Flow, all_flows};
use policy::Policy;
use policy::edges::{JudgedEdge, OutsideNodes, judged_edges};

/// The mesh with the indexes and derived facts that several rules need.
pub(super) struct RuleContext<'a> {
    pub(super) mesh: &'a Mesh,
    pub(super) readings: &'a Readings,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) links: Links<'a>,
    /// Every resource, in the order of the paths.
    pub(super) register: Register<'a>,
    /// The flows of each route, by the number of the route.
    flows: Vec<Vec<Flow<'a>>>,
    /// Every listener of a proxy, by resource and port.
    pub(super) sockets: Vec<Socket<'a>>,
    /// The presented certificates, each with its part of the spec.
    pub(super) presented: Vec<Presented>,
    /// The environment of each resource, from its tag or otherwise its name, by position.
    environments: Vec<Option<&'a str>>,
    tag_faults: Vec<(usize, Vec<TagFault>)>,
    egresses: Egresses<'a>,
    /// Every listener at which calls of a virtual service may arrive, by virtual service.
    listeners: Vec<Vec<&'a Listener>>,
    paths: CallPaths<'a>,
    edges: Vec<JudgedEdge<'a>>,
    /// The virtual nodes that stand for hosts outside the mesh.
    outside: OutsideNodes<'a>,
    /// Whether one finding on the mesh replaces the findings on its plain-text calls.
    pub(super) folds_plaintext: bool,
}

/// A listener of a virtual node or gateway.
pub(super) struct Socket<'a> {
    pub(super) of: ResourcePath,
    pub(super) port: Port,
    pub(super) tls: Option<&'a ListenerTls>,
}

/// A certificate that is presented.
pub(super) struct Presented {
    pub(super) by: ResourcePath,
    /// The part of the spec: `listener 8080`, `client`, `client of s.local`.
    pub(super) part: String,
    pub(super) source: CertificateSource,
}

impl<'a> RuleContext<'a> {
    pub(super) fn new(mesh: &'a Mesh, readings: &'a Readings, policy: &'a Policy, now: Timestamp) -> Self {
        let links = Links::new(mesh);
        let register = Register::new(mesh, &links);
        let flows = all_flows(&links);
        let tag_faults = tags::faults(&register, &links, &policy.tags);
        let egresses = Egresses::new(mesh, &links, &policy.egress);
        let listeners = listeners_behind(&links);
        let paths = CallPaths::from_links(&links);
        // A gateway with known routes and an unknown spec cannot be at fault, so it is not among the callers.
        let outside = OutsideNodes::find(mesh, &policy.egress);
        let edges = judged_edges(mesh, &links, &flows, readings, &outside, now);
        let environments = environments(&register, policy);
        let mut context = Self {
            mesh,
            readings,
            policy,
            now,
            links,
            register,
            flows,
            sockets: Vec::new(),
            presented: Vec::new(),
            environments,
            tag_faults,
            egresses,
            listeners,
            paths,
            edges,
            outside,
            folds_plaintext: false,
        };
        context.sockets = context.all_sockets();
        context.presented = context.all_presented();
        context
    }

    /// The faults in the tags of each resource.
    pub(super) fn tag_faults(&self) -> impl Iterator<Item = (&ResourcePath, &[TagFault])> {
        let faults = self.tag_faults.iter();
        faults.filter_map(|(place, faults)| Some((&self.register.get(*place)?.path, faults.as_slice())))
    }

    /// The environment of the resource of a kind with a number, where it is known.
    pub(super) fn environment(&self, kind: ResourceKind, number: usize) -> Option<&'a str> {
        self.environments.get(self.register.place(kind, number)).copied().flatten()
    }

    /// The environments of all resources for which they are known.
    pub(super) fn environments(&self) -> impl Iterator<Item = &'a str> {
        self.environments.iter().copied().flatten()
    }

    /// Every resource.
    pub(super) fn resources(&self) -> impl Iterator<Item = &ResourcePath> {
        self.register.iter().map(|(_, entry)| &entry.path)
    }

    /// The call paths of the mesh.
    pub(super) const fn paths(&self) -> &CallPaths<'a> {
        &self.paths
    }

    /// Every call with its verdict.
    pub(super) fn edges(&self) -> &[JudgedEdge<'a>] {
        &self.edges
    }

    /// Whether a virtual node stands for a host outside the mesh, where no proxy runs.
    pub(super) fn is_outside(&self, node: &VirtualNodeName) -> bool {
        self.outside.contains(node)
    }

    /// The egress set of each proxy.
    pub(super) const fn egresses(&self) -> &Egresses<'a> {
        &self.egresses
    }

    /// Sorts findings: by resource, rule and part.
    pub(super) fn in_order(&self, mut findings: Vec<Finding>) -> Vec<Finding> {
        // Most resources have several findings, and paths are long to compare.
        let places: HashMap<&ResourcePath, usize> =
            (0..self.register.len()).filter_map(|place| Some((&self.register.get(place)?.path, place))).collect();
        let place = |finding: &Finding| places.get(&finding.resource).copied().unwrap_or(usize::MAX);
        findings.sort_by_cached_key(|finding| (place(finding), finding.rule));
        for alike in findings.chunk_by_mut(|one, other| one.rule == other.rule && one.resource == other.resource) {
            alike.sort_by(Finding::order);
        }
        findings
    }

    pub(super) fn mesh_path(&self) -> ResourcePath {
        ResourcePath::Mesh(self.mesh.name.clone())
    }

    pub(super) fn node_path(&self, name: &VirtualNodeName) -> ResourcePath {
        ResourcePath::VirtualNode(self.mesh.name.clone(), name.clone())
    }

    pub(super) fn gateway_path(&self, name: &VirtualGatewayName) -> ResourcePath {
        ResourcePath::VirtualGateway(self.mesh.name.clone(), name.clone())
    }

    pub(super) fn service_path(&self, name: &VirtualServiceName) -> ResourcePath {
        ResourcePath::VirtualService(self.mesh.name.clone(), name.clone())
    }

    pub(super) fn router_path(&self, name: &VirtualRouterName) -> ResourcePath {
        ResourcePath::VirtualRouter(self.mesh.name.clone(), name.clone())
    }

    pub(super) fn route_path(&self, router: &VirtualRouterName, name: &RouteName) -> ResourcePath {
        ResourcePath::Route(self.mesh.route_id(router, name))
    }

    pub(super) fn gateway_route_path(&self, gateway: &VirtualGatewayName, name: &GatewayRouteName) -> ResourcePath {
        ResourcePath::GatewayRoute(self.mesh.name.clone(), gateway.clone(), name.clone())
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&'a VirtualNodeName, &'a VirtualNodeSpec)> + use<'a> {
        self.mesh.nodes.iter()
    }

    /// The virtual nodes with their numbers.
    pub(super) fn numbered_nodes(
        &self,
    ) -> impl Iterator<Item = (usize, &'a VirtualNodeName, &'a VirtualNodeSpec)> + use<'a, '_> {
        self.links.nodes.iter().enumerate().filter_map(|(number, (name, node))| Some((number, name, node?)))
    }

    /// Every route with its flows: the targets and their shares.
    pub(super) fn flows(&self) -> impl Iterator<Item = (&LinkedRoute<'a>, &[Flow<'a>])> {
        self.links.routes.iter().zip(self.flows.iter().map(Vec::as_slice))
    }

    /// A route by its number, with its flows.
    pub(super) fn flows_of(&self, route: usize) -> Option<(&LinkedRoute<'a>, &[Flow<'a>])> {
        Some((self.links.routes.get(route)?, self.flows.get(route)?))
    }

    pub(super) fn gateways(&self) -> impl Iterator<Item = (&'a VirtualGatewayName, &'a VirtualGatewaySpec)> + use<'a> {
        self.mesh.gateways.iter().filter_map(|(name, gateway)| Some((name, gateway.spec.as_ref()?)))
    }

    pub(super) fn routers(&self) -> impl Iterator<Item = (&'a VirtualRouterName, &'a Router)> + use<'a> {
        self.mesh.routers.iter()
    }

    pub(super) fn routes(
        &self,
    ) -> impl Iterator<Item = (&'a VirtualRouterName, &'a RouteName, &'a RouteSpec)> + use<'a> {
        self.mesh
            .routers
            .iter()
            .flat_map(|(router, entry)| entry.routes.iter().map(move |(name, route)| (router, name, route)))
    }

    pub(super) fn gateway_routes(
        &self,
    ) -> impl Iterator<Item = (&'a VirtualGatewayName, &'a GatewayRouteName, &'a GatewayRouteSpec)> + use<'a> {
        self.mesh.gateways.iter().flat_map(|(gateway, Gateway { routes, .. })| {
            routes.iter().map(move |(name, route)| (gateway, name, route))
        })
    }

    /// Whether a resource calls a virtual service.
    pub(super) fn is_called(&self, service: &VirtualServiceName) -> bool {
        self.links.services.number(service).is_some_and(|service| !self.links.callers(service).is_empty())
    }

    /// Every listener at which calls of a virtual service may arrive. For a route these are the listeners that its targets name,
    /// or all listeners of a target that names none.
    pub(super) fn listeners_behind(&self, service: &VirtualServiceName) -> &[&'a Listener] {
        let number = self.links.services.number(service);
        number.and_then(|number| self.listeners.get(number)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every default client policy, with its virtual node or gateway.
    pub(super) fn default_policies(&self) -> Vec<(ResourcePath, Option<&'a ClientPolicy>)> {
        let nodes = self.nodes().map(|(name, node)| (self.node_path(name), node.backend_defaults.as_ref()));
        let gateways = self.gateways().map(|(name, spec)| (self.gateway_path(name), spec.backend_defaults.as_ref()));
        nodes
            .chain(gateways)
            .map(|(path, defaults)| (path, defaults.and_then(|defaults| defaults.client_policy.as_ref())))
            .collect()
    }
}

impl<'a> RuleContext<'a> {
    fn all_sockets(&self) -> Vec<Socket<'a>> {
        let of_nodes =
            self.nodes().map(|(name, node)| (self.node_path(name), node.listeners().iter().map(port_and_tls)));
        let mut all = Vec::new();
        for (of, listeners) in of_nodes {
            all.extend(listeners.map(|(port, tls)| Socket { of: of.clone(), port, tls }));
        }
        for (name, gateway) in self.gateways() {
            let of = self.gateway_path(name);
            let listeners = gateway.listeners.iter().map(|one| (one.port_mapping.port, one.tls.as_ref()));
            all.extend(listeners.map(|(port, tls)| Socket { of: of.clone(), port, tls }));
        }
        all
    }

    fn all_presented(&self) -> Vec<Presented> {
        let mut all = Vec::new();
        for Socket { of, port, tls } in &self.sockets {
            if let Some(source) = tls.and_then(|tls| CertificateSource::of_listener(of, &tls.certificate)) {
                all.push(Presented { by: of.clone(), part: format!("listener {port}"), source });
            }
        }
        for (by, backend, policy) in self.policies() {
            let certificate = policy.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
            if let Some(source) = certificate.and_then(|certificate| CertificateSource::of_client(&by, certificate)) {
                let part = if backend.is_empty() { "client".to_owned() } else { format!("client of {backend}") };
                all.push(Presented { by, part, source });
            }
        }
        all
    }

    /// Every client policy of the mesh: its node or gateway, its backend (empty for a default), and the policy.
    pub(super) fn policies(&self) -> Vec<(ResourcePath, &'a str, &'a ClientPolicy)> {
        let defaults = self.default_policies().into_iter();
        let mut all: Vec<_> = defaults.filter_map(|(path, policy)| Some((path, "", policy?))).collect();
        for (name, node) in self.nodes() {
            for backend in node.backends.iter().flatten() {
                if let Backend::VirtualService(backend) = backend
                    && let Some(policy) = &backend.client_policy
                {
                    all.push((self.node_path(name), backend.virtual_service_name.as_str(), policy));
                }
            }
        }
        all
    }
}

fn port_and_tls(listener: &Listener) -> (Port, Option<&ListenerTls>) {
    (listener.port_mapping.port, listener.tls.as_ref())
}

fn environments<'a>(register: &Register<'a>, policy: &'a Policy) -> Vec<Option<&'a str>> {
    let policy = &policy.environments;
    let environments = (0..register.len()).map(|place| {
        let entry = register.get(place).filter(|entry| entry.exists)?;
        // A tag with an unknown value has precedence over the name.
        match entry.tags.and_then(|tags| tags.value(&policy.tag)) {
            Some(value) => policy.named(value),
            None => policy.of_name(entry.path.name()),
        }
    });
    environments.collect()
}

/// By virtual service, every listener at which its calls may arrive. Services of one router share its list.
fn listeners_behind<'a>(links: &Links<'a>) -> Vec<Vec<&'a Listener>> {
    let of_node = |node: usize| links.nodes.get(node).map(VirtualNodeSpec::listeners).unwrap_or_default().iter();
    let of_router = |router: usize| {
        let mut targets: Vec<(usize, Option<Port>)> = Vec::new();
        for route in links.routes_through(router) {
            let ports = route.spec.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
            targets.extend(route.targets.iter().copied().zip(ports.map(|target| target.port)));
        }
        targets.sort_unstable();
        targets.dedup();
        let mut listeners: Vec<&Listener> = Vec::new();
        for (node, port) in targets {
            listeners.extend(of_node(node).filter(|one| port.is_none_or(|port| one.port_mapping.port == port)));
        }
        listeners
    };
    let of_routers: Vec<_> = (0..links.routers.count()).map(of_router).collect();
    let of_service = |service: usize| match links.provider(service) {
        Some(Provider::Router(router)) => of_routers.get(router).cloned().unwrap_or_default(),
        Some(Provider::Node(node)) => of_node(node).collect(),
        None => Vec::new(),
    };
    (0..links.services.count()).map(of_service).collect()
}

/// Groups items by a key, in the order of the keys.
pub(super) fn grouped<K: Ord, V>(items: impl Iterator<Item = (K, V)>) -> BTreeMap<K, Vec<V>> {
    let mut groups: BTreeMap<K, Vec<V>> = BTreeMap::new();
    for (key, value) in items {
        groups.entry(key).or_default().push(value);
    }
    groups
}
