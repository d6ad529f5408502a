//! Every call of a mesh, judged where it is met: what a walk has seen is gone when it goes on.

use jiff::Timestamp;

use super::arrivals::{Arrival, arrivals};
use super::ends::{Client, Server};
use super::handshake::Handshake;
use super::outside::OutsideNodes;
use super::verdict::Broken;
use crate::certificates::Readings;
use crate::graph::{Links, Mesh};
use crate::name::{ResourcePath, VirtualServiceName};
use crate::spec::{Backend, BackendDefaults, ClientPolicy, VirtualNodeSpec};
use crate::traffic::{Flow, Landing};

/// A call on the way.
pub(super) struct Met<'w, 'm> {
    pub(super) from: &'w ResourcePath,
    /// Whether the caller is in the mesh: of a virtual gateway there may be nothing but its routes.
    pub(super) caller_exists: bool,
    pub(super) service: &'m VirtualServiceName,
    pub(super) arrival: &'w Arrival<'m>,
    /// How the two ends get on, or why there is no second one.
    pub(super) handshake: Result<Handshake<'w>, Broken>,
}

/// A mesh with all that a walk along its calls needs.
#[derive(Clone, Copy)]
pub(super) struct Walk<'w, 'm> {
    pub(super) mesh: &'m Mesh,
    pub(super) links: &'w Links<'m>,
    /// By route.
    pub(super) flows: &'w [Vec<Flow<'m>>],
    pub(super) readings: &'m Readings,
    /// The nodes at which no proxy runs.
    pub(super) outside: &'w OutsideNodes<'m>,
    pub(super) now: Timestamp,
}

/// Where calls of a service arrive, with the end that answers there.
type Answering<'m> = Vec<(Arrival<'m>, Option<Server<'m>>)>;

impl<'m> Walk<'_, 'm> {
    /// Shows every call to `visit`, in the order of callers, services, nodes and ports.
    pub(super) fn each(self, mut visit: impl FnMut(Met<'_, 'm>)) {
        let answering: Vec<Answering<'m>> =
            (0..self.links.services.len()).map(|number| self.answering(number)).collect();
        for (number, (name, node)) in self.links.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            let from = ResourcePath::VirtualNode(self.mesh.name.clone(), name.clone());
            let default = Client::of(&from, default_policy(node.backend_defaults.as_ref()), self.readings);
            for (service, own) in self.backends(number, node) {
                let own = own.map(|policy| Client::of(&from, Some(policy), self.readings));
                let client = own.as_ref().unwrap_or(&default);
                self.towards(service, &answering, &from, true, client, &mut visit);
            }
        }
        let mut called = vec![Vec::new(); self.links.gateways.len()];
        for route in &self.links.gateway_routes {
            if let Some(services) = called.get_mut(route.gateway) {
                services.extend(route.service);
            }
        }
        for ((name, gateway), mut services) in self.links.gateways.iter().zip(called) {
            let from = ResourcePath::VirtualGateway(self.mesh.name.clone(), name.clone());
            let spec = gateway.and_then(|gateway| gateway.spec.as_ref());
            let defaults = spec.and_then(|spec| spec.backend_defaults.as_ref());
            let client = Client::of(&from, default_policy(defaults), self.readings);
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
                    let server = Server::of(&path, node, listener, self.readings);
                    Some(Server { is_outside: self.outside.contains(arrival.node), ..server })
                }
                _ => None,
            };
            (arrival, server)
        });
        all.collect()
    }

    /// What a virtual node calls, each service once, with the policy of its own where it has one.
    fn backends(self, number: usize, node: &'m VirtualNodeSpec) -> Vec<(usize, Option<&'m ClientPolicy>)> {
        let backends = node.backends.iter().flatten().filter_map(|backend| match backend {
            Backend::VirtualService(backend) => Some(backend.client_policy.as_ref()),
            Backend::Unrecognised(_) => None,
        });
        let mut all: Vec<_> = self.links.backends(number).iter().copied().zip(backends).collect();
        // Of a service that is named twice the first entry holds.
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
        visit: &mut impl FnMut(Met<'_, 'm>),
    ) {
        let Some(name) = self.links.services.name(service) else { return };
        for (arrival, server) in answering.get(service).into_iter().flatten() {
            let handshake = match (server, arrival.landing) {
                (Some(server), _) => Ok(Handshake::of(client, server, self.now)),
                (None, Landing::Listener(_) | Landing::NoNode) => Err(Broken::NoNode),
                (None, Landing::NoListener(_)) => Err(Broken::NoListener { port: arrival.port() }),
                (None, Landing::Ambiguous(_)) => Err(Broken::AmbiguousPort),
            };
            visit(Met { from, caller_exists, service: name, arrival, handshake });
        }
    }
}

fn default_policy(defaults: Option<&BackendDefaults>) -> Option<&ClientPolicy> {
    defaults.and_then(|defaults| defaults.client_policy.as_ref())
}
