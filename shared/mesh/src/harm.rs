//! The harms of a change of routing.
//!
//! ```text
//!   mesh before ─┐
//!                ├─▶ flows of each route, compared ──▶ the harms that the change creates
//!   mesh after ──┘
//! ```
//!
//! A harm is a failure that traffic meets in `after` and did not meet in `before`. Existing failures are found by the
//! policy pack: they must not prevent a failover between two nodes with the same failure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::graph::Mesh;
use crate::name::{RouteId, VirtualNodeName};
use crate::spec::{Listener, Port, Protocol, RouteRule, TlsMode};
use crate::split::WeightSplit;
use crate::traffic::{Flow, Landing, flows, understands};

/// A harm of a change of routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "harm", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Harm {
    /// A route with traffic to existing nodes would have none.
    RouteDrained {
        /// The route.
        route: RouteId,
        /// Its targets after the change; `None` if the route is deleted.
        after: Option<WeightSplit>,
    },
    /// Traffic would move to a missing node.
    DanglingReference {
        /// The route.
        route: RouteId,
        /// The node.
        virtual_node: VirtualNodeName,
    },
    /// Traffic would move to a node without a listener for it.
    MissingListenerPort {
        /// The route.
        route: RouteId,
        /// The node.
        virtual_node: VirtualNodeName,
        /// The port that the route names; `None` if it names none, which is ambiguous.
        port: Option<Port>,
        /// The ports of the node's listeners.
        listeners: Vec<Port>,
    },
    /// Traffic would move to a listener with a different protocol.
    ProtocolMismatch {
        /// The route.
        route: RouteId,
        /// The route's kind, for example `httpRoute`.
        kind: String,
        /// The node.
        virtual_node: VirtualNodeName,
        /// The listener's protocol.
        protocol: Protocol,
    },
    /// Traffic would move from a listener with TLS to a listener without TLS.
    TlsLost {
        /// The route.
        route: RouteId,
        /// The node without TLS.
        virtual_node: VirtualNodeName,
        /// The nodes with TLS that lose traffic.
        from: Vec<VirtualNodeName>,
    },
}

impl Harm {
    /// The stable id of this kind of harm, used in policies and reports.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::RouteDrained { .. } => "route-drained",
            Self::DanglingReference { .. } => "dangling-reference",
            Self::MissingListenerPort { .. } => "missing-listener-port",
            Self::ProtocolMismatch { .. } => "protocol-mismatch",
            Self::TlsLost { .. } => "tls-lost",
        }
    }

    /// The harmed route.
    #[must_use]
    pub const fn route(&self) -> &RouteId {
        match self {
            Self::RouteDrained { route, .. }
            | Self::DanglingReference { route, .. }
            | Self::MissingListenerPort { route, .. }
            | Self::ProtocolMismatch { route, .. }
            | Self::TlsLost { route, .. } => route,
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RouteDrained { route, after: Some(after) } => {
                write!(f, "route {route} would send no traffic to any node that exists: {after}")
            }
            Self::RouteDrained { route, after: None } => write!(f, "route {route} would be deleted"),
            Self::DanglingReference { route, virtual_node } => {
                write!(f, "route {route} would send traffic to virtual node {virtual_node}, which doesn't exist")
            }
            Self::MissingListenerPort { route, virtual_node, port, listeners } => {
                write!(f, "route {route} would send traffic to virtual node {virtual_node}")?;
                match port {
                    Some(port) => write!(f, " on port {port}, where it doesn't listen")?,
                    None => write!(f, " without naming a port")?,
                }
                write!(f, "; it listens on {}", list(listeners))
            }
            Self::ProtocolMismatch { route, kind, virtual_node, protocol } => {
                write!(f, "{kind} {route} would send traffic to virtual node {virtual_node}, ")?;
                write!(f, "which listens with protocol {protocol}")
            }
            Self::TlsLost { route, virtual_node, from } => {
                write!(f, "route {route} would send traffic to virtual node {virtual_node} in plain text ")?;
                write!(f, "that went to {} by TLS", list(from))
            }
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The harms that a change would cause on some routes, in their order. `before` and `after` must hold the targets of
/// the routes; absent resources count as missing.
#[must_use]
pub fn harms<'r>(before: &Mesh, after: &Mesh, routes: impl IntoIterator<Item = &'r RouteId>) -> Vec<Harm> {
    let mut found = Vec::new();
    for route in routes {
        // A route without traffic before cannot be harmed, and an unknown kind cannot be evaluated.
        let Some(was) = flows(before, route) else {
            continue;
        };
        let Some(spec) = after.route(route) else {
            found.extend(reaches_a_node(&was).then(|| Harm::RouteDrained { route: route.clone(), after: None }));
            continue;
        };
        let Some(will) = flows(after, route) else {
            continue;
        };
        if reaches_a_node(&was) && !reaches_a_node(&will) {
            found.push(Harm::RouteDrained { route: route.clone(), after: spec.split() });
        }
        let shift = RouteShift { route, rule: &spec.rule, before: &was, after: &will };
        found.extend(will.iter().filter(|flow| flow.weight > 0).filter_map(|flow| shift.harm(flow)));
    }
    found
}

fn reaches_a_node(flows: &[Flow<'_>]) -> bool {
    flows.iter().any(|flow| flow.weight > 0 && flow.landing != Landing::NoNode)
}

/// The change of a route, evaluated for one target at a time.
struct RouteShift<'a> {
    route: &'a RouteId,
    rule: &'a RouteRule,
    before: &'a [Flow<'a>],
    after: &'a [Flow<'a>],
}

impl RouteShift<'_> {
    /// The worst harm to the traffic that one target receives after the change.
    fn harm(&self, flow: &Flow<'_>) -> Option<Harm> {
        let (route, virtual_node) = (self.route.clone(), flow.virtual_node.clone());
        match flow.landing {
            Landing::NoNode => self
                .is_new(flow, |was| was.landing != Landing::NoNode)
                .then_some(Harm::DanglingReference { route, virtual_node }),
            Landing::NoListener(node) | Landing::Ambiguous(node) => {
                let listeners = node.listeners().iter().map(|listener| listener.port_mapping.port).collect();
                self.is_new(flow, |was| matches!(was.landing, Landing::Listener(_)))
                    .then_some(Harm::MissingListenerPort { route, virtual_node, port: flow.port, listeners })
            }
            Landing::Listener(listener) if !understands(listener, self.rule) => {
                let kind = self.rule.member().unwrap_or_default().to_owned();
                let protocol = listener.port_mapping.protocol.clone();
                self.is_new(flow, |was| lands_where(was, |listener| understands(listener, self.rule)))
                    .then_some(Harm::ProtocolMismatch { route, kind, virtual_node, protocol })
            }
            Landing::Listener(listener) if !has_tls(listener) => {
                let from = self.sources(flow).filter(|was| lands_where(was, has_tls));
                let from: Vec<_> = from.map(|was| was.virtual_node.clone()).collect();
                (self.grows_or_worsens(flow, |was| lands_where(was, has_tls)) && !from.is_empty())
                    .then_some(Harm::TlsLost { route, virtual_node, from })
            }
            Landing::Listener(_) => None,
        }
    }

    /// Whether a failure of `flow` is new to its traffic: some of it was `fine` before. Without any traffic before,
    /// every failure is new.
    fn is_new(&self, flow: &Flow<'_>, fine: impl Fn(&Flow<'_>) -> bool) -> bool {
        let was_drained = self.before.iter().all(|was| was.weight == 0);
        self.grows_or_worsens(flow, &fine) && (was_drained || self.sources(flow).any(fine))
    }

    /// Whether the target receives more traffic than before, or the same traffic in a worse state.
    fn grows_or_worsens(&self, flow: &Flow<'_>, fine: impl Fn(&Flow<'_>) -> bool) -> bool {
        self.before
            .iter()
            .find(|was| was.same_target(flow) && was.weight > 0)
            .is_none_or(|was| flow.exceeds(was) || fine(was))
    }

    /// The sources of a target's traffic: the target itself, and the targets that lose a part of their traffic.
    fn sources<'s>(&'s self, flow: &'s Flow<'s>) -> impl Iterator<Item = &'s Flow<'s>> {
        let loses =
            |was: &Flow<'_>| self.after.iter().find(|will| will.same_target(was)).is_none_or(|will| was.exceeds(will));
        self.before.iter().filter(move |was| was.weight > 0 && (was.same_target(flow) || loses(was)))
    }
}

fn lands_where(flow: &Flow<'_>, is: impl Fn(&Listener) -> bool) -> bool {
    matches!(flow.landing, Landing::Listener(listener) if is(listener))
}

fn has_tls(listener: &Listener) -> bool {
    match listener.tls.as_ref().map(|tls| &tls.mode) {
        Some(TlsMode::Strict | TlsMode::Permissive) => true,
        // An unknown mode does not count as TLS.
        Some(TlsMode::Disabled | TlsMode::Unrecognised(_)) | None => false,
    }
}
