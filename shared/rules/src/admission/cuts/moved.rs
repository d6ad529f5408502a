//! The calls before and after a write, by their edges.

use super::cut::Cut;
use super::ports::ports;
use mesh::graph::Mesh;
use mesh::name::{ResourcePath, VirtualServiceName};
use mesh::spec::{GatewayRouteTarget, Port};
use policy::edges::{Broken, Edge, TlsVerdict as Verdict};

/// Whether a handshake is the reason why an edge is broken.
pub(super) const fn is_of_handshake(broken: &Broken) -> bool {
    match broken {
        Broken::NoNode | Broken::NoListener { .. } | Broken::AmbiguousPort => false,
        Broken::NoDiscovery
        | Broken::TlsNotServed
        | Broken::NoClientCertificate
        | Broken::NameMismatch { .. }
        | Broken::Distrusted(_) => true,
    }
}

/// A virtual service on one of its ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'m> {
    pub(super) service: &'m VirtualServiceName,
    pub(super) port: Port,
}

impl<'m> Target<'m> {
    /// Where a gateway route leads; `None` where it names no port and there are none or several.
    pub(super) fn find(mesh: &Mesh, target: &'m GatewayRouteTarget) -> Option<Self> {
        let service = &target.virtual_service.virtual_service_name;
        let mut offered = ports(mesh, service).into_keys();
        let only = match (offered.next(), offered.next()) {
            (Some(port), None) => Some(port),
            (None, _) | (Some(_), Some(_)) => None,
        };
        Some(Self { service, port: target.port.or(only)? })
    }
}

/// The edges before and after a write: a call may move from one to another.
#[derive(Clone, Copy)]
pub(super) struct Moved<'m> {
    pub(super) was: &'m [Edge],
    pub(super) will: &'m [Edge],
    pub(super) before: &'m Mesh,
    pub(super) after: &'m Mesh,
}

impl Moved<'_> {
    /// Whether a call that worked would arrive where its handshake fails, and did not arrive there before.
    pub(super) fn cut(
        &self,
        from: &ResourcePath,
        resource: &ResourcePath,
        was: Target<'_>,
        will: Target<'_>,
    ) -> Option<Cut> {
        let arrived: Vec<&Edge> = arriving(self.was, self.before, from, was).collect();
        if !arrived.iter().any(|edge| broken(edge).is_none()) {
            return None;
        }
        let (edge, fault) = arriving(self.will, self.after, from, will).find_map(|edge| {
            let fault = broken(edge).filter(|fault| is_of_handshake(fault))?;
            let name = edge.name();
            let failed = arrived.iter().any(|was| was.name() == name && broken(was).is_some());
            // An edge that worked and would be broken is a harm of its own.
            let worked = self.was.iter().any(|was| was.name() == name && broken(was).is_none());
            (!failed && !worked).then_some((edge, fault))
        })?;
        let message = format!("calls from {} would move there and fail: {fault}", edge.name());
        Some(Cut { rule: "edge-broken", resource: resource.clone(), message })
    }
}

/// Where the calls of a virtual service arrive that get some of the traffic.
pub(super) fn arriving<'e>(
    edges: &'e [Edge],
    mesh: &'e Mesh,
    from: &'e ResourcePath,
    to: Target<'e>,
) -> impl Iterator<Item = &'e Edge> {
    let is_on_port = move |edge: &Edge| {
        if edge.routes.is_empty() {
            // The node provides the service itself: the port is that of its listener.
            return edge.port == Some(to.port);
        }
        let mut routes = edge.routes.iter().filter_map(|id| mesh.route(id));
        routes.any(|route| route.rule.match_port().is_none_or(|port| port == to.port))
    };
    let all =
        edges.iter().filter(move |edge| edge.from == *from && edge.service == *to.service && edge.carries_traffic);
    all.filter(move |edge| is_on_port(edge))
}

pub(super) const fn broken(edge: &Edge) -> Option<&Broken> {
    match &edge.verdict {
        Verdict::Broken(broken) => Some(broken),
        Verdict::Plaintext | Verdict::Tls | Verdict::Mtls => None,
    }
}
