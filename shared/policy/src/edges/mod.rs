//! Every call that a mesh permits, with its safety: caller, listener, and plain text, TLS, mTLS or failure.
//!
//! ```text
//!   virtual node or gateway ──▶ virtual service ──▶ provider or routes ──▶ listener of a virtual node
//!        │ client policy                                                       │ mode, certificate, validation
//!        └────────────────────────────▶ handshake ◀────────────────────────────┘
//!                                           │ ◀── Readings: chains, anchors, names
//!                                           ▼
//!                        Plaintext | Tls | Mtls | Broken(reason)   and unknown facts
//! ```
//!
//! The verdict follows from the specs and from the certificates that were read. Unread facts are listed with it
//! ([`UnknownEdgeFact`]): such an edge is neither proven nor broken.

mod arrivals;
mod ends;
mod handshake;
mod harm;
mod inputs;
mod outside;
mod verdict;
mod walk;

use jiff::Timestamp;
use serde::Serialize;

use crate::EgressPolicy;
use mesh::certificates::Readings;
use mesh::graph::{Links, Mesh};
use mesh::name::{ResourcePath, RouteId, VirtualNodeName, VirtualServiceName};
use mesh::spec::{Port, Protocol, TlsMode};
use mesh::traffic::{Flow, Landing, all_flows};

use handshake::Handshake;
use walk::{CallWalk, WalkedCall};

pub use harm::{EdgeHarm, EdgeName, edge_harms};
pub use inputs::{Call, HandshakeInputs};
pub use outside::OutsideNodes;
pub use verdict::{Broken, Distrust, End, TlsVerdict, UnknownEdgeFact};

/// One caller, one virtual service, one listener behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// The caller: a virtual node or a virtual gateway.
    pub from: ResourcePath,
    /// The called virtual service.
    pub service: VirtualServiceName,
    /// The called virtual node.
    pub to: ResourcePath,
    /// The called port; `None` if it is ambiguous.
    pub port: Option<Port>,
    /// The routes to the node; empty if the node provides the service directly.
    pub routes: Vec<RouteId>,
    /// Whether it carries traffic now; a drained target has an edge, too.
    pub carries_traffic: bool,
    /// The verdict on its TLS handshake.
    #[serde(flatten)]
    pub verdict: TlsVerdict,
    /// The unknown facts that the verdict depends on.
    pub unknown: Vec<UnknownEdgeFact>,
    /// The inputs of the verdict.
    pub inputs: HandshakeInputs,
}

impl Edge {
    /// Whether every fact that the verdict depends on is known.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.unknown.is_empty()
    }
}

/// Every edge of a mesh, in the order of callers, services, nodes and ports. References to missing virtual services
/// have no edges; see [`mesh::graph::dangling()`]. Nodes for outside hosts are recognised by the specs alone.
#[must_use]
pub fn edges(mesh: &Mesh, readings: &Readings, now: Timestamp) -> Vec<Edge> {
    edges_by_policy(mesh, readings, &EgressPolicy::default(), now)
}

/// Every edge of a mesh as in [`edges`], with a policy that names the outside hosts.
#[must_use]
pub fn edges_by_policy(mesh: &Mesh, readings: &Readings, policy: &EgressPolicy, now: Timestamp) -> Vec<Edge> {
    let links = Links::new(mesh);
    let outside = OutsideNodes::find(mesh, policy);
    let walk = CallWalk { mesh, links: &links, flows: &all_flows(&links), readings, outside: &outside, now };
    let mut found = Vec::new();
    walk.each(|WalkedCall { from, service, arrival, handshake, .. }| {
        let inputs = handshake.as_ref().map_or_else(|_| HandshakeInputs::none(), Handshake::inputs);
        let (verdict, doubts) =
            handshake.map_or_else(|broken| (TlsVerdict::Broken(broken), Vec::new()), Handshake::judge);
        let routes = arrival.routes.iter().filter_map(|route| links.routes.get(*route));
        found.push(Edge {
            from: from.clone(),
            service: service.clone(),
            to: ResourcePath::VirtualNode(mesh.name.clone(), arrival.node.clone()),
            port: arrival.port(),
            routes: routes.map(|route| route.id.clone()).collect(),
            carries_traffic: arrival.carries_traffic,
            verdict,
            unknown: doubts.into_iter().map(UnknownEdgeFact::from).collect(),
            inputs,
        });
    });
    found
}

/// The members of an edge that rules need, for every edge of a mesh.
#[derive(Debug)]
pub struct JudgedEdge<'m> {
    /// The caller.
    pub from: ResourcePath,
    /// The virtual service that it calls.
    pub service: &'m VirtualServiceName,
    /// The virtual node that is called.
    pub to: &'m VirtualNodeName,
    /// The port of the listener; `None` without a listener.
    pub port: Option<Port>,
    /// Whether a route with a weight leads to the node.
    pub carries_traffic: bool,
    /// The client's call mode; `None` without a listener.
    pub call: Option<Call>,
    /// Whether the client's policy enforces TLS; `None` if no policy applies to the port.
    pub enforced: Option<bool>,
    /// The listener's TLS mode; `None` if it is not configured.
    pub mode: Option<&'m TlsMode>,
    /// The listener's protocol; `None` without a listener.
    pub protocol: Option<&'m Protocol>,
    /// Whether the node represents a host outside the mesh.
    pub is_outside: bool,
    /// What the handshake leads to.
    pub verdict: TlsVerdict,
}

/// Every edge from an existing caller, in the same order, from prepared links and flows.
#[must_use]
pub fn judged_edges<'m>(
    mesh: &'m Mesh,
    links: &Links<'m>,
    flows: &[Vec<Flow<'m>>],
    readings: &'m Readings,
    outside: &OutsideNodes<'m>,
    now: Timestamp,
) -> Vec<JudgedEdge<'m>> {
    let mut found = Vec::new();
    CallWalk { mesh, links, flows, readings, outside, now }.each(
        |WalkedCall { from, caller_exists, service, arrival, handshake }| {
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
                verdict: handshake.map_or_else(TlsVerdict::Broken, |handshake| handshake.judge().0),
            });
        },
    );
    found
}
