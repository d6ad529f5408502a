//! Walks along every call of a mesh and evaluates it in place; a step keeps no state for the next one.

use jiff::Timestamp;

use super::arrivals::{Arrival, arrivals};
use super::ends::{Client, Server};
use super::handshake::Handshake;
use super::outside::OutsideNodes;
use super::verdict::Broken;
use mesh::certificates::Readings;
use mesh::graph::{Links, Mesh};
use mesh::name::{ResourcePath, VirtualServiceName};
use mesh::spec::{Backend, BackendDefaults, ClientPolicy, VirtualNodeSpec};
use mesh::traffic::{Flow, Landing};

/// One call of the walk.
pub(super) struct WalkedCall<'w, 'm> {
    pub(super) from: &'w ResourcePath,
    /// Whether the caller exists in the mesh; a virtual gateway may be known only by its routes.
    pub(super) caller_exists: bool,
    pub(super) service: &'m VirtualServiceName,
    pub(super) arrival: &'w Arrival<'m>,
    /// The handshake, or the reason why the called end is missing.
    pub(super) handshake: Result<Handshake<'w>, Broken>,
}

/// A mesh with the input for a walk along its calls.
#[derive(Clone, Copy)]
pub(super) struct CallWalk<'w, 'm> {
    pub(super) mesh: &'m Mesh,
    pub(super) links: &'w Links<'m>,
    /// By route.
    pub(super) flows: &'w [Vec<Flow<'m>>],
    pub(super) readings: &'m Readings,
    /// The nodes without a proxy.
    pub(super) outside: &'w OutsideNodes<'m>,
    pub(super) now: Timestamp,
}

/// The nodes and ports that calls of a service reach, with the called end.
type Answering<'m> = Vec<(Arrival<'m>, Option<Server<'m>>)>;

impl<'m> CallWalk<'_, 'm> {
    /// Passes every call to `visit`, in the order of callers, services, nodes and ports.
    pub(super) fn each(self, mut visit: impl FnMut(WalkedCall<'_, 'm>)) {
        let answering: Vec<Answering<'m>> =
            (0..self.links.services.count()).map(|number| self.answering(number)).collect();
        for (number, (name, node)) in self.links.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            let from = ResourcePath::VirtualNode(self.mesh.name.clone(), name.clone());
            let default = Client::new(&from, default_policy(node.backend_defaults.as_ref()), self.readings);
            for (service, own) in self.backends(number, node) {
                let own = own.map(|policy| Client::new(&from, Some(policy), self.readings));
                let client = own.as_ref().unwrap_or(&default);
                self.towards(service, &answering, &from, true, client, &mut visit);
            }
        }
        let mut called = vec![Vec::new(); self.links.gateways.count()];
        for route in &self.links.gateway_routes {
            if let Some(services) = called.get_mut(route.gateway) {
                services.extend(route.service);
            }
        }
        for ((name, gateway), mut services) in self.links.gateways.iter().zip(called) {
            let from = ResourcePath::VirtualGateway(self.mesh.name.clone(), name.clone());
            let spec = gateway.and_then(|gateway| gateway.spec.as_ref());
            let defaults = spec.and_then(|spec| spec.backend_defaults.as_ref());
            let client = Client::new(&from, default_policy(defaults), self.readings);
            services.sort_unstable();
            services.dedup();
            for service in services {
                self.towards(service, &answering, &from, spec.is_some(), &client, &mut visit);
            }
        }
    }

    fn answering(self, service: usize) -> Answering<'m> {
        let all = arrivals(self.links, self.flows, service).into_iter().map(|arrival| {
            let node = self.links.nodes.number(arrival.node).and_then(|number| self.links.nodes.get(number));
            let server = match (arrival.landing, node) {
                (Landing::Listener(listener), Some(node)) => {
                    let path = ResourcePath::VirtualNode(self.mesh.name.clone(), arrival.node.clone());
                    let server = Server::new(&path, node, listener, self.readings);
                    Some(Server { is_outside: self.outside.contains(arrival.node), ..server })
                }
                _ => None,
            };
            (arrival, server)
        });
        all.collect()
    }

    /// The services that a virtual node calls, each once, with the backend's own client policy if it has one.
    fn backends(self, number: usize, node: &'m VirtualNodeSpec) -> Vec<(usize, Option<&'m ClientPolicy>)> {
        let backends = node.backends.iter().flatten().filter_map(|backend| match backend {
            Backend::VirtualService(backend) => Some(backend.client_policy.as_ref()),
            Backend::Unrecognised(_) => None,
        });
        let mut all: Vec<_> = self.links.backends(number).iter().copied().zip(backends).collect();
        // If a service is named twice, the first entry applies.
        all.sort_by_key(|(service, _)| *service);
        all.dedup_by_key(|(service, _)| *service);
        all
    }

    fn towards(
        self,
        service: usize,
        answering: &[Answering<'m>],
        from: &ResourcePath,
        caller_exists: bool,
        client: &Client<'m>,
        visit: &mut impl FnMut(WalkedCall<'_, 'm>),
    ) {
        let Some(name) = self.links.services.name(service) else { return };
        for (arrival, server) in answering.get(service).into_iter().flatten() {
            let handshake = match (server, arrival.landing) {
                (Some(server), _) => Ok(Handshake::new(client, server, self.now)),
                (None, Landing::Listener(_) | Landing::NoNode) => Err(Broken::NoNode),
                (None, Landing::NoListener(_)) => Err(Broken::NoListener { port: arrival.port() }),
                (None, Landing::Ambiguous(_)) => Err(Broken::AmbiguousPort),
            };
            visit(WalkedCall { from, caller_exists, service: name, arrival, handshake });
        }
    }
}

fn default_policy(defaults: Option<&BackendDefaults>) -> Option<&ClientPolicy> {
    defaults.and_then(|defaults| defaults.client_policy.as_ref())
}
