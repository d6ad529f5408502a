//! Who calls whom.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::Mesh;
use crate::name::{ResourcePath, RouteId, VirtualGatewayName, VirtualNodeName, VirtualRouterName, VirtualServiceName};
use crate::spec::VirtualServiceProvider;

/// What calls a virtual service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Caller {
    /// A virtual node that has it as backend.
    VirtualNode(VirtualNodeName),
    /// A virtual gateway with a gateway route to it.
    VirtualGateway(VirtualGatewayName),
}

impl Caller {
    /// Where the caller is.
    #[must_use]
    pub fn path(&self, mesh: &Mesh) -> ResourcePath {
        match self {
            Self::VirtualNode(name) => ResourcePath::VirtualNode(mesh.name.clone(), name.clone()),
            Self::VirtualGateway(name) => ResourcePath::VirtualGateway(mesh.name.clone(), name.clone()),
        }
    }
}

/// The references of a mesh, indexed in both directions in one pass. Weights play no part: a drained target is linked.
/// References that lead nowhere are links too.
#[derive(Debug)]
pub struct Links<'m> {
    callers_of_service: HashMap<&'m VirtualServiceName, BTreeSet<Caller>>,
    services_of_node: HashMap<&'m VirtualNodeName, BTreeSet<&'m VirtualServiceName>>,
    services_of_router: HashMap<&'m VirtualRouterName, BTreeSet<&'m VirtualServiceName>>,
    nodes_of_service: HashMap<&'m VirtualServiceName, BTreeSet<&'m VirtualNodeName>>,
    routes_of_node: HashMap<&'m VirtualNodeName, BTreeSet<RouteId>>,
}

impl<'m> Links<'m> {
    /// Indexes a mesh.
    #[must_use]
    pub fn of(mesh: &'m Mesh) -> Self {
        let mut links = Self {
            callers_of_service: HashMap::new(),
            services_of_node: HashMap::new(),
            services_of_router: HashMap::new(),
            nodes_of_service: HashMap::new(),
            routes_of_node: HashMap::new(),
        };
        links.add_callers(mesh);
        let targets = links.add_routes(mesh);
        links.add_providers(mesh, &targets);
        links
    }

    fn add_callers(&mut self, mesh: &'m Mesh) {
        for (name, node) in &mesh.nodes {
            for service in node.backend_services() {
                let callers = self.callers_of_service.entry(service).or_default();
                callers.insert(Caller::VirtualNode(name.clone()));
            }
        }
        for (name, gateway) in &mesh.gateways {
            for target in gateway.routes.values().filter_map(|route| route.rule.target()) {
                let service = &target.virtual_service.virtual_service_name;
                let callers = self.callers_of_service.entry(service).or_default();
                callers.insert(Caller::VirtualGateway(name.clone()));
            }
        }
    }

    fn add_routes(&mut self, mesh: &'m Mesh) -> HashMap<&'m VirtualRouterName, BTreeSet<&'m VirtualNodeName>> {
        let mut targets: HashMap<_, BTreeSet<_>> = HashMap::new();
        for (router, routes) in mesh.routers.iter().map(|(name, router)| (name, &router.routes)) {
            for (name, action) in routes.iter().filter_map(|(name, route)| Some((name, route.rule.action()?))) {
                for node in action.weighted_targets.iter().map(|target| &target.virtual_node) {
                    self.routes_of_node.entry(node).or_default().insert(mesh.route_id(router, name));
                    targets.entry(router).or_default().insert(node);
                }
            }
        }
        targets
    }

    fn add_providers(
        &mut self,
        mesh: &'m Mesh,
        targets: &HashMap<&'m VirtualRouterName, BTreeSet<&'m VirtualNodeName>>,
    ) {
        for (service, spec) in &mesh.services {
            let nodes = match &spec.provider {
                Some(VirtualServiceProvider::VirtualNode(node)) => BTreeSet::from([&node.virtual_node_name]),
                Some(VirtualServiceProvider::VirtualRouter(router)) => {
                    let router = &router.virtual_router_name;
                    self.services_of_router.entry(router).or_default().insert(service);
                    targets.get(router).cloned().unwrap_or_default()
                }
                Some(VirtualServiceProvider::Unrecognised(_)) | None => BTreeSet::new(),
            };
            for node in &nodes {
                self.services_of_node.entry(node).or_default().insert(service);
            }
            self.nodes_of_service.insert(service, nodes);
        }
    }

    /// What calls a virtual service.
    pub fn callers_of_service(&self, service: &VirtualServiceName) -> impl Iterator<Item = &Caller> {
        self.callers_of_service.get(service).into_iter().flatten()
    }

    /// The virtual nodes that may answer for a virtual service.
    pub fn nodes_of_service(&self, service: &VirtualServiceName) -> impl Iterator<Item = &'m VirtualNodeName> {
        self.nodes_of_service.get(service).into_iter().flatten().copied()
    }

    /// The virtual services that a virtual router provides.
    pub fn services_of_router(&self, router: &VirtualRouterName) -> impl Iterator<Item = &'m VirtualServiceName> {
        self.services_of_router.get(router).into_iter().flatten().copied()
    }

    /// The virtual services that a virtual node may answer for, as provider or as target of a route.
    pub fn services_of_node(&self, node: &VirtualNodeName) -> impl Iterator<Item = &'m VirtualServiceName> {
        self.services_of_node.get(node).into_iter().flatten().copied()
    }

    /// The routes that have a virtual node as target.
    pub fn routes_of_node(&self, node: &VirtualNodeName) -> impl Iterator<Item = &RouteId> {
        self.routes_of_node.get(node).into_iter().flatten()
    }

    /// What calls a virtual node through a virtual service.
    #[must_use]
    pub fn callers_of_node(&self, node: &VirtualNodeName) -> BTreeSet<Caller> {
        self.services_of_node(node).flat_map(|service| self.callers_of_service(service)).cloned().collect()
    }

    /// What calls a virtual node, what calls that, and so on. The node itself is among them only if it is part of a
    /// cycle.
    #[must_use]
    pub fn all_callers_of_node(&self, node: &VirtualNodeName) -> BTreeSet<Caller> {
        let mut found = BTreeSet::new();
        let mut open = vec![node.clone()];
        while let Some(node) = open.pop() {
            for caller in self.callers_of_node(&node) {
                if let Caller::VirtualNode(name) = &caller
                    && !found.contains(&caller)
                {
                    open.push(name.clone());
                }
                found.insert(caller);
            }
        }
        found
    }
}
