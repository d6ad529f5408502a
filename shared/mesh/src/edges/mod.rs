//! Every call that a mesh allows, and how safe it is: who calls which listener, and in plain text, by TLS, by mTLS, or
//! not at all.
//!
//! ```text
//!   virtual node or gateway ──▶ virtual service ──▶ provider or routes ──▶ listener of a virtual node
//!        │ client policy                                                       │ mode, certificate, validation
//!        └────────────────────────────▶ handshake ◀────────────────────────────┘
//!                                           │ ◀── Readings: chains, anchors, names
//!                                           ▼
//!                        Plaintext | Tls | Mtls | Broken(reason)   and what is not known
//! ```
//!
//! The verdict follows from the specs and from what was read. What was not read is told beside it ([`Unknown`]): such
//! an edge is neither proven nor broken.

mod arrivals;
mod handshake;
mod harm;
mod verdict;

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use crate::certificates::{Anchor, Readings, Source};
use crate::graph::{Caller, Mesh};
use crate::name::{ResourcePath, RouteId, VirtualServiceName};
use crate::spec::{ClientPolicy, Port, TlsMode};
use crate::tls::client_policy_for;

use arrivals::{Arrival, arrivals};
use handshake::{Client, Server, judge};

pub use harm::{EdgeHarm, EdgeName, edge_harms};
pub use verdict::{Broken, Distrust, End, Unknown, Verdict};

/// One caller, one virtual service, one listener behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Who calls: a virtual node or a virtual gateway.
    pub from: ResourcePath,
    /// What is called.
    pub service: VirtualServiceName,
    /// The virtual node that answers.
    pub to: ResourcePath,
    /// The port it answers on; `None` where that is not certain.
    pub port: Option<Port>,
    /// The routes that lead there; none where the node provides the service itself.
    pub routes: Vec<RouteId>,
    /// Whether anything is sent there now: a drained target has an edge, too.
    pub carries_traffic: bool,
    /// How the two get on.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What would have to be known to be sure of the verdict.
    pub unknown: Vec<Unknown>,
    /// What the verdict was made from.
    pub inputs: Inputs,
}

impl Edge {
    /// Whether everything that the verdict depends on is known.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.unknown.is_empty()
    }
}

/// What both ends of an edge bring to the handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// How the client calls; `None` where there is no listener to call.
    pub call: Option<Call>,
    /// Whether the client's policy refuses plain text; `None` where no policy is about the port.
    pub enforced: Option<bool>,
    /// Whether the listener takes TLS; `None` where it says nothing.
    pub mode: Option<TlsMode>,
    /// What the listener presents.
    pub server: Option<Source>,
    /// Whom the client trusts.
    pub server_trust: Vec<Anchor>,
    /// The names of which the server must have one; none where any will do.
    pub server_names: Vec<String>,
    /// Whether the listener asks for a client certificate.
    pub asks_client: bool,
    /// What the client presents when asked.
    pub client: Option<Source>,
    /// Whom the listener trusts.
    pub client_trust: Option<Anchor>,
    /// The names of which the client must have one; none where any will do.
    pub client_names: Vec<String>,
}

impl Inputs {
    /// Those of an edge that leads to no listener.
    const fn none() -> Self {
        Self {
            call: None,
            enforced: None,
            mode: None,
            server: None,
            server_trust: Vec::new(),
            server_names: Vec::new(),
            asks_client: false,
            client: None,
            client_trust: None,
            client_names: Vec::new(),
        }
    }
}

/// How a client calls a listener; see [`crate::tls::ClientCall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// Without TLS.
    Plaintext,
    /// As a policy says.
    ByPolicy,
    /// Trusting whoever issued the server's certificate.
    AgainstIssuer,
    /// Trusting whoever answers.
    Unseen,
}

/// Every edge of a mesh, in the order of callers, services, nodes and ports. References to virtual services that don't
/// exist have none; see [`crate::graph::dangling()`].
#[must_use]
pub fn edges(mesh: &Mesh, readings: &Readings, now: Timestamp) -> Vec<Edge> {
    let arrivals: HashMap<&VirtualServiceName, Vec<Arrival<'_>>> =
        mesh.services.keys().map(|service| (service, arrivals(mesh, service))).collect();
    let mut found = Vec::new();
    for (caller, services) in callers(mesh) {
        let from = caller.path(mesh);
        for (service, arrivals) in services.into_iter().filter_map(|service| arrivals.get_key_value(service)) {
            let client = Client { path: &from, policy: policy_of(mesh, &caller, service) };
            found.extend(arrivals.iter().map(|arrival| {
                let to = ResourcePath::VirtualNode(mesh.name.clone(), arrival.node.clone());
                let server = Server { path: &to, spec: mesh.nodes.get(arrival.node), landing: arrival.landing };
                let judged = judge(&client, &server, arrival.port(), readings, now);
                Edge {
                    from: from.clone(),
                    service: (*service).clone(),
                    port: arrival.port(),
                    routes: arrival.routes.clone(),
                    carries_traffic: arrival.carries_traffic,
                    verdict: judged.verdict,
                    unknown: judged.unknown,
                    inputs: judged.inputs,
                    to,
                }
            }));
        }
    }
    found
}

/// Everything that calls, in the order of the paths, with what it calls.
fn callers(mesh: &Mesh) -> impl Iterator<Item = (Caller, BTreeSet<&VirtualServiceName>)> {
    let nodes = mesh.nodes.iter().map(|(name, node)| {
        let services = node.backend_services().collect();
        (Caller::VirtualNode(name.clone()), services)
    });
    let gateways = mesh.gateways.iter().map(|(name, gateway)| {
        let targets = gateway.routes.values().filter_map(|route| route.rule.target());
        let services = targets.map(|target| &target.virtual_service.virtual_service_name).collect();
        (Caller::VirtualGateway(name.clone()), services)
    });
    nodes.chain(gateways)
}

/// The policy by which a caller calls a service: a gateway has only its default.
fn policy_of<'m>(mesh: &'m Mesh, caller: &Caller, service: &VirtualServiceName) -> Option<&'m ClientPolicy> {
    match caller {
        Caller::VirtualNode(name) => client_policy_for(mesh.nodes.get(name)?, service),
        Caller::VirtualGateway(name) => {
            mesh.gateways.get(name)?.spec.as_ref()?.backend_defaults.as_ref()?.client_policy.as_ref()
        }
    }
}
