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
mod ends;
mod handshake;
mod harm;
mod outside;
mod verdict;
mod walk;

use jiff::Timestamp;
use serde::Serialize;

use crate::certificates::{Anchor, Readings, Source};
use crate::graph::{Links, Mesh};
use crate::name::{ResourcePath, RouteId, VirtualNodeName, VirtualServiceName};
use crate::policy::EgressPolicy;
use crate::spec::{Port, Protocol, TlsMode};
use crate::traffic::{Flow, Landing, all_flows};

use handshake::Handshake;
use walk::{Met, Walk};

pub use harm::{EdgeHarm, EdgeName, edge_harms};
pub use outside::OutsideNodes;
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
/// exist have none; see [`crate::graph::dangling()`]. Which nodes stand for hosts outside is told by the specs alone.
#[must_use]
pub fn edges(mesh: &Mesh, readings: &Readings, now: Timestamp) -> Vec<Edge> {
    edges_by_policy(mesh, readings, &EgressPolicy::default(), now)
}

/// Every edge of a mesh as [`edges`] has them, with a policy that says which hosts are outside.
#[must_use]
pub fn edges_by_policy(mesh: &Mesh, readings: &Readings, policy: &EgressPolicy, now: Timestamp) -> Vec<Edge> {
    let links = Links::of(mesh);
    let outside = OutsideNodes::find(mesh, policy);
    let walk = Walk { mesh, links: &links, flows: &all_flows(&links), readings, outside: &outside, now };
    let mut found = Vec::new();
    walk.each(|Met { from, service, arrival, handshake, .. }| {
        let inputs = handshake.as_ref().map_or_else(|_| Inputs::none(), Handshake::inputs);
        let (verdict, doubts) = handshake.map_or_else(|broken| (Verdict::Broken(broken), Vec::new()), Handshake::judge);
        let routes = arrival.routes.iter().filter_map(|route| links.routes.get(*route));
        found.push(Edge {
            from: from.clone(),
            service: service.clone(),
            to: ResourcePath::VirtualNode(mesh.name.clone(), arrival.node.clone()),
            port: arrival.port(),
            routes: routes.map(|route| route.id.clone()).collect(),
            carries_traffic: arrival.carries_traffic,
            verdict,
            unknown: doubts.into_iter().map(Unknown::from).collect(),
            inputs,
        });
    });
    found
}

/// An edge as far as rules ask, who look at every one and at few members.
#[derive(Debug)]
pub(crate) struct JudgedEdge<'m> {
    pub(crate) from: ResourcePath,
    pub(crate) service: &'m VirtualServiceName,
    pub(crate) to: &'m VirtualNodeName,
    pub(crate) port: Option<Port>,
    pub(crate) carries_traffic: bool,
    /// How the client calls; `None` where there is no listener to call.
    pub(crate) call: Option<Call>,
    /// Whether the client's policy refuses plain text; `None` where no policy is about the port.
    pub(crate) enforced: Option<bool>,
    /// Whether the listener takes TLS; `None` where it says nothing.
    pub(crate) mode: Option<&'m TlsMode>,
    /// What the listener speaks; `None` where there is no listener.
    pub(crate) protocol: Option<&'m Protocol>,
    /// Whether the node stands for a host outside the mesh.
    pub(crate) is_outside: bool,
    pub(crate) verdict: Verdict,
}

/// Every edge from a caller that is in the mesh, in the same order, with links and flows that were made before.
pub(crate) fn judged_edges<'m>(
    mesh: &'m Mesh,
    links: &Links<'m>,
    flows: &[Vec<Flow<'m>>],
    readings: &'m Readings,
    outside: &OutsideNodes<'m>,
    now: Timestamp,
) -> Vec<JudgedEdge<'m>> {
    let mut found = Vec::new();
    Walk { mesh, links, flows, readings, outside, now }.each(
        |Met { from, caller_exists, service, arrival, handshake }| {
            if !caller_exists {
                return;
            }
            let listener = match arrival.landing {
                Landing::Listener(listener) => Some(listener),
                Landing::NoNode | Landing::NoListener(_) | Landing::Ambiguous(_) => None,
            };
            found.push(JudgedEdge {
                from: from.clone(),
                service,
                to: arrival.node,
                port: arrival.port(),
                carries_traffic: arrival.carries_traffic,
                call: handshake.as_ref().ok().map(Handshake::call),
                enforced: handshake.as_ref().ok().and_then(Handshake::enforced),
                mode: listener.and_then(|listener| listener.tls.as_ref()).map(|tls| &tls.mode),
                protocol: listener.map(|listener| &listener.port_mapping.protocol),
                is_outside: outside.contains(arrival.node),
                verdict: handshake.map_or_else(Verdict::Broken, |handshake| handshake.judge().0),
            });
        },
    );
    found
}
