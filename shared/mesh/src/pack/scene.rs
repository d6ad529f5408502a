//! A mesh with all that several rules ask of it, worked out once.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::paths::Paths;
use crate::certificates::{Readings, Source};
use crate::edges::{Edge, edges};
use crate::egress::Egresses;
use crate::graph::{Gateway, Links, Mesh, Router};
use crate::name::{
    GatewayRouteName, ResourcePath, RouteName, VirtualGatewayName, VirtualNodeName, VirtualRouterName,
    VirtualServiceName,
};
use crate::policy::Policy;
use crate::spec::{
    Backend, ClientPolicy, GatewayRouteSpec, Listener, ListenerTls, Port, RouteSpec, VirtualGatewaySpec,
    VirtualNodeSpec, VirtualServiceProvider,
};
use crate::tags::{self, Judgement};

/// A mesh with all that several rules ask of it.
pub(super) struct Scene<'a> {
    pub(super) mesh: &'a Mesh,
    pub(super) readings: &'a Readings,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) links: Links<'a>,
    /// Every resource, kind by kind.
    pub(super) resources: Vec<ResourcePath>,
    /// Every listener of a proxy.
    pub(super) sockets: Vec<Socket<'a>>,
    /// What presents a certificate, and where.
    pub(super) presented: Vec<Presented>,
    /// By resource, the environment that its tag or else its name tells.
    pub(super) environments: HashMap<ResourcePath, &'a str>,
    tag_faults: Judgement,
    egresses: Egresses<'a>,
    listeners: HashMap<&'a VirtualServiceName, Vec<&'a Listener>>,
    paths: Paths<'a>,
    edges: Vec<Edge>,
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
    /// Where in its spec: `listener 8080`, `client`, `client of s.local`.
    pub(super) part: String,
    pub(super) source: Source,
}

impl<'a> Scene<'a> {
    pub(super) fn of(mesh: &'a Mesh, readings: &'a Readings, policy: &'a Policy, now: Timestamp) -> Self {
        let links = Links::of(mesh);
        let resources = mesh.paths();
        let tag_faults = tags::faults(mesh, &links, &policy.tags, &resources);
        let egresses = Egresses::of(mesh, &links, &policy.egress);
        let listeners = listeners_behind(mesh);
        let paths = Paths::of(mesh);
        let mut edges = edges(mesh, readings, now);
        // A gateway of which only routes are known can't be found at fault.
        edges.retain(|edge| mesh.has(&edge.from));
        let environments = environments(mesh, policy, &resources);
        let mut scene = Self {
            mesh,
            readings,
            policy,
            now,
            links,
            resources,
            sockets: Vec::new(),
            presented: Vec::new(),
            environments,
            tag_faults,
            egresses,
            listeners,
            paths,
            edges,
        };
        scene.sockets = scene.all_sockets();
        scene.presented = scene.all_presented();
        scene
    }

    /// What is wrong with the tags of each resource.
    pub(super) const fn tag_faults(&self) -> &Judgement {
        &self.tag_faults
    }

    /// What becomes of a request on its way through the mesh.
    pub(super) const fn paths(&self) -> &Paths<'a> {
        &self.paths
    }

    /// Every call with its verdict.
    pub(super) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// What each proxy reaches.
    pub(super) const fn egresses(&self) -> &Egresses<'a> {
        &self.egresses
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

    /// The virtual services that something calls.
    pub(super) fn is_called(&self, service: &VirtualServiceName) -> bool {
        self.links.callers_of_service(service).next().is_some()
    }

    /// The router that provides a virtual service.
    pub(super) fn router_of(&self, service: &VirtualServiceName) -> Option<(&'a VirtualRouterName, &'a Router)> {
        match self.mesh.services.get(service)?.provider.as_ref()? {
            VirtualServiceProvider::VirtualRouter(provider) => {
                self.mesh.routers.get_key_value(&provider.virtual_router_name)
            }
            VirtualServiceProvider::VirtualNode(_) | VirtualServiceProvider::Unrecognised(_) => None,
        }
    }

    /// The node that provides a virtual service directly.
    pub(super) fn direct_node_of(&self, service: &VirtualServiceName) -> Option<&'a VirtualNodeName> {
        match self.mesh.services.get(service)?.provider.as_ref()? {
            VirtualServiceProvider::VirtualNode(provider) => Some(&provider.virtual_node_name),
            VirtualServiceProvider::VirtualRouter(_) | VirtualServiceProvider::Unrecognised(_) => None,
        }
    }

    /// Every listener at which calls of a virtual service may arrive. Listeners of routes are those that targets name,
    /// or all of a target that names none.
    pub(super) fn listeners_behind(&self, service: &VirtualServiceName) -> &[&'a Listener] {
        self.listeners.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every client policy that is a default, with whose it is.
    pub(super) fn default_policies(&self) -> Vec<(ResourcePath, Option<&'a ClientPolicy>)> {
        let nodes = self.nodes().map(|(name, node)| (self.node_path(name), node.backend_defaults.as_ref()));
        let gateways = self.gateways().map(|(name, spec)| (self.gateway_path(name), spec.backend_defaults.as_ref()));
        nodes
            .chain(gateways)
            .map(|(path, defaults)| (path, defaults.and_then(|defaults| defaults.client_policy.as_ref())))
            .collect()
    }
}

impl<'a> Scene<'a> {
    fn all_sockets(&self) -> Vec<Socket<'a>> {
        let of_nodes = self.nodes().map(|(name, node)| (self.node_path(name), node.listeners().iter().map(told)));
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
            if let Some(source) = tls.and_then(|tls| Source::of_listener(of, &tls.certificate)) {
                all.push(Presented { by: of.clone(), part: format!("listener {port}"), source });
            }
        }
        for (by, backend, policy) in self.policies() {
            let certificate = policy.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
            if let Some(source) = certificate.and_then(|certificate| Source::of_client(&by, certificate)) {
                let part = if backend.is_empty() { "client".to_owned() } else { format!("client of {backend}") };
                all.push(Presented { by, part, source });
            }
        }
        all
    }

    /// Every client policy of the mesh: whose it is, the backend that it is for where it is no default, and itself.
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

fn told(listener: &Listener) -> (Port, Option<&ListenerTls>) {
    (listener.port_mapping.port, listener.tls.as_ref())
}

fn environments<'a>(mesh: &'a Mesh, policy: &'a Policy, resources: &[ResourcePath]) -> HashMap<ResourcePath, &'a str> {
    let policy = &policy.environments;
    let told = resources.iter().filter_map(|path| {
        let tag = mesh.tags.get(path).and_then(|tags| tags.value(&policy.tag));
        // A tag that is there and names nothing known isn't overruled by a name.
        let environment = match tag {
            Some(value) => policy.named(value),
            None => policy.of_name(path.name()),
        };
        environment.map(|environment| (path.clone(), environment))
    });
    told.collect()
}

/// By virtual service, every listener at which its calls may arrive. Services of one router share its list.
fn listeners_behind(mesh: &Mesh) -> HashMap<&VirtualServiceName, Vec<&Listener>> {
    let mut of_routers: HashMap<&VirtualRouterName, Vec<&Listener>> = HashMap::new();
    for (router, entry) in &mesh.routers {
        let targets = entry.routes.values().filter_map(|route| route.rule.action());
        let mut targets: Vec<_> = targets
            .flat_map(|action| action.weighted_targets.iter())
            .map(|target| (&target.virtual_node, target.port))
            .collect();
        targets.sort_unstable();
        targets.dedup();
        let listeners = of_routers.entry(router).or_default();
        for (node, port) in targets {
            let of_node = mesh.nodes.get(node).map(VirtualNodeSpec::listeners).unwrap_or_default().iter();
            listeners.extend(of_node.filter(|listener| port.is_none_or(|port| listener.port_mapping.port == port)));
        }
    }
    let of_service = mesh.services.iter().map(|(service, spec)| {
        let listeners = match &spec.provider {
            Some(VirtualServiceProvider::VirtualRouter(provider)) => {
                of_routers.get(&provider.virtual_router_name).cloned().unwrap_or_default()
            }
            Some(VirtualServiceProvider::VirtualNode(provider)) => {
                let node = mesh.nodes.get(&provider.virtual_node_name);
                node.map(VirtualNodeSpec::listeners).unwrap_or_default().iter().collect()
            }
            Some(VirtualServiceProvider::Unrecognised(_)) | None => Vec::new(),
        };
        (service, listeners)
    });
    of_service.collect()
}

/// Groups items by a key, in the order of the keys.
pub(super) fn grouped<K: Ord, V>(items: impl Iterator<Item = (K, V)>) -> BTreeMap<K, Vec<V>> {
    let mut groups: BTreeMap<K, Vec<V>> = BTreeMap::new();
    for (key, value) in items {
        groups.entry(key).or_default().push(value);
    }
    groups
}
