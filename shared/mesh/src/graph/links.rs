//! The callers and callees of a mesh.

use std::collections::BTreeSet;

use serde::Serialize;

use super::numbered::Numbered;
use super::{Gateway, Mesh, Router};
use crate::name::{
    GatewayRouteName, ResourcePath, RouteId, RouteName, VirtualGatewayName, VirtualNodeName, VirtualRouterName,
    VirtualServiceName,
};
use crate::spec::{GatewayRouteSpec, RouteSpec, VirtualNodeSpec, VirtualServiceProvider, VirtualServiceSpec};

/// A caller of a virtual service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ServiceCaller {
    /// A virtual node with the service as backend.
    VirtualNode(VirtualNodeName),
    /// A virtual gateway with a gateway route to it.
    VirtualGateway(VirtualGatewayName),
}

impl ServiceCaller {
    /// The path of the caller.
    #[must_use]
    pub fn path(&self, mesh: &Mesh) -> ResourcePath {
        match self {
            Self::VirtualNode(name) => ResourcePath::VirtualNode(mesh.name.clone(), name.clone()),
            Self::VirtualGateway(name) => ResourcePath::VirtualGateway(mesh.name.clone(), name.clone()),
        }
    }
}

/// The references of a mesh, each name looked up once, indexed in both directions. Weights are ignored: a drained
/// target is linked. Dangling references are included.
#[derive(Debug)]
pub struct Links<'m> {
    /// The virtual nodes.
    pub nodes: Numbered<'m, VirtualNodeName, VirtualNodeSpec>,
    /// The virtual services.
    pub services: Numbered<'m, VirtualServiceName, VirtualServiceSpec>,
    /// The virtual routers.
    pub routers: Numbered<'m, VirtualRouterName, Router>,
    /// The virtual gateways.
    pub gateways: Numbered<'m, VirtualGatewayName, Gateway>,
    /// Every route, in the order of the ids.
    pub routes: Vec<LinkedRoute<'m>>,
    /// Every gateway route, in the order of gateways and names.
    pub gateway_routes: Vec<LinkedGatewayRoute<'m>>,
    /// By virtual node, the services that it calls, in the order of its backends.
    backends: Vec<Vec<usize>>,
    /// By virtual service.
    providers: Vec<Option<Provider>>,
    callers_of_service: Vec<Vec<CallerNumber>>,
    nodes_of_service: Vec<Vec<usize>>,
    /// By virtual node.
    services_of_node: Vec<Vec<usize>>,
    routes_of_node: Vec<Vec<usize>>,
    /// By virtual router.
    services_of_router: Vec<Vec<usize>>,
    routes_of_router: Vec<Vec<usize>>,
}

/// A route with its references.
#[derive(Debug)]
pub struct LinkedRoute<'m> {
    /// Its position in the order of the ids.
    pub number: usize,
    /// Its router and name.
    pub id: RouteId,
    /// The number of its virtual router.
    pub router: usize,
    /// Its name at the router.
    pub name: &'m RouteName,
    /// Its spec.
    pub spec: &'m RouteSpec,
    /// The virtual node of each weighted target.
    pub targets: Vec<usize>,
}

/// A gateway route with its references.
#[derive(Debug)]
pub struct LinkedGatewayRoute<'m> {
    /// The number of its virtual gateway.
    pub gateway: usize,
    /// Its name at the gateway.
    pub name: &'m GatewayRouteName,
    /// The number of the virtual service that it leads to.
    pub service: Option<usize>,
}

/// The provider of a virtual service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The virtual node with this number.
    Node(usize),
    /// The virtual router with this number.
    Router(usize),
}

/// A caller of a virtual service, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallerNumber {
    /// The virtual node with this number.
    Node(usize),
    /// The virtual gateway with this number.
    Gateway(usize),
}

impl<'m> Links<'m> {
    /// Indexes a mesh.
    #[must_use]
    pub fn new(mesh: &'m Mesh) -> Self {
        let actions = mesh.routers.values().flat_map(|entry| entry.routes.values()).filter_map(|one| one.rule.action());
        let targets = actions.flat_map(|action| action.weighted_targets.iter());
        let answering = || mesh.services.values().filter_map(|service| service.provider.as_ref());
        let called = mesh.gateways.values().flat_map(|gateway| gateway.routes.values()).filter_map(target_of);
        let nodes = Numbered::new(
            mesh.nodes.iter(),
            targets.map(|target| &target.virtual_node).chain(answering().filter_map(VirtualServiceProvider::node)),
        );
        let services = Numbered::new(
            mesh.services.iter(),
            mesh.nodes.values().flat_map(VirtualNodeSpec::backend_services).chain(called),
        );
        let routers = Numbered::new(mesh.routers.iter(), answering().filter_map(VirtualServiceProvider::router));
        let mut links = Self {
            backends: vec![Vec::new(); nodes.count()],
            providers: vec![None; services.count()],
            callers_of_service: vec![Vec::new(); services.count()],
            nodes_of_service: vec![Vec::new(); services.count()],
            services_of_node: vec![Vec::new(); nodes.count()],
            routes_of_node: vec![Vec::new(); nodes.count()],
            services_of_router: vec![Vec::new(); routers.count()],
            routes_of_router: vec![Vec::new(); routers.count()],
            gateways: Numbered::new(mesh.gateways.iter(), std::iter::empty()),
            routes: Vec::new(),
            gateway_routes: Vec::new(),
            nodes,
            services,
            routers,
        };
        links.add_callers();
        links.add_routes(mesh);
        links.add_providers();
        links
    }

    fn add_callers(&mut self) {
        for (number, (_, node)) in self.nodes.iter().enumerate() {
            let called = node.into_iter().flat_map(VirtualNodeSpec::backend_services);
            let called: Vec<usize> = called.filter_map(|service| self.services.number(service)).collect();
            for service in &called {
                add(&mut self.callers_of_service, *service, CallerNumber::Node(number));
            }
            if let Some(backends) = self.backends.get_mut(number) {
                *backends = called;
            }
        }
        for (gateway, (_, entry)) in self.gateways.iter().enumerate() {
            for (name, spec) in entry.into_iter().flat_map(|entry| &entry.routes) {
                let service = target_of(spec).and_then(|service| self.services.number(service));
                if let Some(service) = service {
                    add(&mut self.callers_of_service, service, CallerNumber::Gateway(gateway));
                }
                self.gateway_routes.push(LinkedGatewayRoute { gateway, name, service });
            }
        }
    }

    fn add_routes(&mut self, mesh: &'m Mesh) {
        for (router, (router_name, entry)) in self.routers.iter().enumerate() {
            for (name, spec) in entry.into_iter().flat_map(|entry| &entry.routes) {
                let number = self.routes.len();
                let targets = spec.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
                let targets: Vec<usize> =
                    targets.filter_map(|target| self.nodes.number(&target.virtual_node)).collect();
                for node in &targets {
                    add(&mut self.routes_of_node, *node, number);
                }
                add(&mut self.routes_of_router, router, number);
                self.routes.push(LinkedRoute {
                    number,
                    id: mesh.route_id(router_name, name),
                    router,
                    name,
                    spec,
                    targets,
                });
            }
        }
    }

    fn add_providers(&mut self) {
        for (service, (_, spec)) in self.services.iter().enumerate() {
            let provider = match spec.and_then(|spec| spec.provider.as_ref()) {
                Some(VirtualServiceProvider::VirtualNode(node)) => {
                    self.nodes.number(&node.virtual_node_name).map(Provider::Node)
                }
                Some(VirtualServiceProvider::VirtualRouter(router)) => {
                    self.routers.number(&router.virtual_router_name).map(Provider::Router)
                }
                Some(VirtualServiceProvider::Unrecognised(_)) | None => None,
            };
            let nodes = match provider {
                Some(Provider::Node(node)) => vec![node],
                Some(Provider::Router(router)) => {
                    add(&mut self.services_of_router, router, service);
                    let mut nodes: Vec<usize> =
                        self.routes_through(router).flat_map(|route| &route.targets).copied().collect();
                    nodes.sort_unstable();
                    nodes.dedup();
                    nodes
                }
                None => Vec::new(),
            };
            for node in &nodes {
                add(&mut self.services_of_node, *node, service);
            }
            if let Some(of_service) = self.nodes_of_service.get_mut(service) {
                *of_service = nodes;
            }
            if let Some(of_service) = self.providers.get_mut(service) {
                *of_service = provider;
            }
        }
    }

    /// The callers of a virtual service.
    pub fn callers_of_service(&self, service: &VirtualServiceName) -> impl Iterator<Item = ServiceCaller> {
        let callers = self.services.number(service).map(|service| self.callers(service)).unwrap_or_default();
        callers.iter().filter_map(|caller| self.caller(*caller))
    }

    /// The virtual nodes that may serve a virtual service.
    pub fn nodes_of_service(&self, service: &VirtualServiceName) -> impl Iterator<Item = &'m VirtualNodeName> {
        let nodes = self.services.number(service).map(|service| self.nodes_behind(service)).unwrap_or_default();
        nodes.iter().filter_map(|node| self.nodes.name(*node))
    }

    /// The virtual services that a virtual router provides.
    pub fn services_of_router(&self, router: &VirtualRouterName) -> impl Iterator<Item = &'m VirtualServiceName> {
        let services = self.routers.number(router).map(|router| self.services_through(router)).unwrap_or_default();
        services.iter().filter_map(|service| self.services.name(*service))
    }

    /// The virtual services that a virtual node may serve, as provider or as target of a route.
    pub fn services_of_node(&self, node: &VirtualNodeName) -> impl Iterator<Item = &'m VirtualServiceName> {
        let services = self.nodes.number(node).map(|node| self.services_at(node)).unwrap_or_default();
        services.iter().filter_map(|service| self.services.name(*service))
    }

    /// The routes with a virtual node as target.
    pub fn routes_of_node(&self, node: &VirtualNodeName) -> impl Iterator<Item = &RouteId> {
        let routes = self.nodes.number(node).map(|node| self.routes_at(node)).unwrap_or_default();
        routes.iter().filter_map(|route| self.routes.get(*route)).map(|route| &route.id)
    }

    /// The callers of a virtual node through a virtual service.
    #[must_use]
    pub fn callers_of_node(&self, node: &VirtualNodeName) -> BTreeSet<ServiceCaller> {
        self.services_of_node(node).flat_map(|service| self.callers_of_service(service)).collect()
    }

    /// The direct and transitive callers of a virtual node. The node itself is included only if it is part of a cycle.
    #[must_use]
    pub fn all_callers_of_node(&self, node: &VirtualNodeName) -> BTreeSet<ServiceCaller> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = self.nodes.number(node).into_iter().collect();
        while let Some(node) = open.pop() {
            for caller in self.services_at(node).iter().flat_map(|service| self.callers(*service)) {
                if found.insert(*caller)
                    && let CallerNumber::Node(caller) = caller
                {
                    open.push(*caller);
                }
            }
        }
        found.into_iter().filter_map(|caller| self.caller(caller)).collect()
    }
}

/// Lookups by number. The names of the methods name the kind of the number; an unknown number has no entries.
impl<'m> Links<'m> {
    /// The services that a virtual node calls, in the order of its backends.
    #[must_use]
    pub fn backends(&self, node: usize) -> &[usize] {
        list(&self.backends, node)
    }

    /// The provider of a virtual service.
    #[must_use]
    pub fn provider(&self, service: usize) -> Option<Provider> {
        self.providers.get(service).copied().flatten()
    }

    /// The callers of a virtual service, each once: virtual nodes first.
    #[must_use]
    pub fn callers(&self, service: usize) -> &[CallerNumber] {
        list(&self.callers_of_service, service)
    }

    /// The virtual nodes that may serve a virtual service.
    #[must_use]
    pub fn nodes_behind(&self, service: usize) -> &[usize] {
        list(&self.nodes_of_service, service)
    }

    /// The virtual services that a virtual router provides.
    #[must_use]
    pub fn services_through(&self, router: usize) -> &[usize] {
        list(&self.services_of_router, router)
    }

    /// The routes of a virtual router.
    pub fn routes_through(&self, router: usize) -> impl Iterator<Item = &LinkedRoute<'m>> {
        list(&self.routes_of_router, router).iter().filter_map(|route| self.routes.get(*route))
    }

    /// The virtual services that a virtual node may serve.
    #[must_use]
    pub fn services_at(&self, node: usize) -> &[usize] {
        list(&self.services_of_node, node)
    }

    /// The routes with a virtual node as target.
    #[must_use]
    pub fn routes_at(&self, node: usize) -> &[usize] {
        list(&self.routes_of_node, node)
    }

    /// The caller of a number.
    pub fn caller(&self, number: CallerNumber) -> Option<ServiceCaller> {
        match number {
            CallerNumber::Node(node) => self.nodes.name(node).cloned().map(ServiceCaller::VirtualNode),
            CallerNumber::Gateway(gateway) => self.gateways.name(gateway).cloned().map(ServiceCaller::VirtualGateway),
        }
    }
}

fn target_of(route: &GatewayRouteSpec) -> Option<&VirtualServiceName> {
    route.rule.target().map(|target| &target.virtual_service.virtual_service_name)
}

/// Adds to the list of a number, keeping equal entries adjacent.
fn add<T: PartialEq>(lists: &mut [Vec<T>], number: usize, item: T) {
    if let Some(list) = lists.get_mut(number)
        && list.last() != Some(&item)
    {
        list.push(item);
    }
}

fn list<T>(lists: &[Vec<T>], number: usize) -> &[T] {
    lists.get(number).map(Vec::as_slice).unwrap_or_default()
}
