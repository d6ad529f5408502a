//! One use of a listener: a route or gateway route that reaches a listener of another resource.

use crate::name::{ResourcePath, VirtualNodeName};
use crate::spec::{Owner, Port, Protocol, Refusal, RouteRule, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec};
use crate::traffic::protocol_suits;

/// A member of a route or gateway route that leads to a listener of another resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListenerUse<'m> {
    /// The route or gateway route.
    pub(super) by: ResourcePath,
    /// The kind of the route or gateway route, such as `httpRoute`.
    pub(super) kind: &'static str,
    /// The port that the member names, if it names one.
    pub(super) port: Option<Port>,
    /// The resource that has the listener.
    pub(super) owner: ResourcePath,
    pub(super) role: Role<'m>,
    pub(super) listeners: Vec<(Port, Protocol)>,
}

/// The role of the listener for the route that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role<'m> {
    /// The listener of the router that a route is for.
    Router(&'m RouteRule),
    /// The listener of a virtual node that a route sends to.
    Target {
        /// The rule of the route.
        rule: &'m RouteRule,
        /// The virtual node.
        node: &'m VirtualNodeName,
        /// The index of the target among the weighted targets.
        index: usize,
    },
    /// The listener of the gateway that a gateway route is for.
    Gateway,
    /// The listener of the node or router that provides the virtual service of a gateway route.
    Provider,
}

/// The suitability of a listener's protocol for a route, from worse to better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// No traffic passes.
    None,
    /// Requests pass, although the API intends another kind of route for the protocol.
    Translated,
    /// The protocol is that of the route.
    Exact,
}

impl ListenerUse<'_> {
    /// Why the port does not fit, regardless of the mesh before a write.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        // A resource without listeners cannot be checked yet.
        let ports = || self.listeners.iter().map(|(port, _)| *port).collect::<Vec<_>>();
        let owner = self.role.owner();
        match (self.port, self.listeners.as_slice()) {
            (_, []) => None,
            (Some(port), _) if self.listener().is_none() => {
                Some(Refusal::PortNotListening { port, owner, listeners: ports() })
            }
            (None, [_, _, ..]) => Some(Refusal::PortRequired { owner, listeners: ports() }),
            (Some(_), _) | (None, [_]) => match (self.role, self.listener()) {
                (Role::Provider, Some((port, Protocol::Tcp))) => {
                    Some(Refusal::TargetSpeaksTcp { port: *port, owner: self.owner.clone() })
                }
                _ => None,
            },
        }
    }

    /// Why a change of the listeners breaks a use that worked, apart from the port of the use.
    pub(super) fn loss(&self, before: &Self) -> Option<Refusal> {
        let worked = before.fit()?;
        let Some((port, protocol)) = self.listener() else {
            // External clients call the listeners of a gateway, so their removal is not refused here. For other roles
            // the previous fit does not matter: requests also pass through a TCP listener of a target.
            let loses_all = self.listeners.is_empty() && self.role != Role::Gateway;
            return loses_all.then(|| Refusal::NoListenerLeft { owner: self.owner.clone() });
        };
        if self.fit()? >= worked {
            return None;
        }
        Some(Refusal::ListenerSpeaksOther { port: *port, owner: self.owner.clone(), protocol: protocol.clone() })
    }

    /// The path of the member that names the port, or that could name it: `spec.httpRoute.match.port`.
    pub(super) fn member(&self) -> String {
        let kind = self.kind;
        match self.role {
            Role::Router(_) | Role::Gateway => format!("spec.{kind}.match.port"),
            Role::Target { index, .. } => format!("spec.{kind}.action.weightedTargets[{index}].port"),
            Role::Provider => format!("spec.{kind}.action.target.port"),
        }
    }

    /// The change to the route that is necessary before a refused write.
    pub(super) fn remedy(&self, before: Option<&Self>, refusal: &Refusal) -> String {
        match refusal {
            Refusal::PortRequired { listeners, .. } => {
                let used = before.and_then(Self::listener).map(|(port, _)| *port);
                match used.filter(|port| listeners.contains(port)) {
                    Some(port) => format!("set that port to {port}"),
                    None => "set that port to the one that is meant".to_owned(),
                }
            }
            Refusal::PortNotListening { port, .. } => {
                format!("set that port to another one, and keep the listener on {port} until then")
            }
            Refusal::ListenerSpeaksOther { protocol, .. } => {
                let change =
                    route_kind(protocol).map_or_else(String::new, |kind| format!("make it {}, or ", article(kind)));
                format!("{change}{}", self.way_out())
            }
            Refusal::NoListenerLeft { .. } => self.way_out().to_owned(),
            _ => "lead it to another virtual service, or delete it".to_owned(),
        }
    }

    /// The change that stops the route from using the listener.
    const fn way_out(&self) -> &'static str {
        match self.role {
            Role::Target { .. } => "take the virtual node out of its targets",
            Role::Router(_) | Role::Gateway | Role::Provider => "delete it",
        }
    }

    /// The path of the route's member that no longer fits.
    pub(super) fn broken_member(&self, refusal: &Refusal) -> String {
        match refusal {
            Refusal::ListenerSpeaksOther { .. } | Refusal::NoListenerLeft { .. } => format!("spec.{}", self.kind),
            _ => self.member(),
        }
    }

    /// Whether both are the same use, one before a write and one after it.
    pub(super) fn is_same_use(&self, other: &Self) -> bool {
        let same_role = match (self.role, other.role) {
            (Role::Target { node, .. }, Role::Target { node: other_node, .. }) => {
                node == other_node && self.port == other.port
            }
            (Role::Router(_), Role::Router(_)) | (Role::Gateway, Role::Gateway) | (Role::Provider, Role::Provider) => {
                true
            }
            _ => false,
        };
        same_role && self.by == other.by
    }

    /// The used listener: the one on the named port, or the only one.
    fn listener(&self) -> Option<&(Port, Protocol)> {
        match (self.port, self.listeners.as_slice()) {
            (Some(wanted), listeners) => listeners.iter().find(|(port, _)| *port == wanted),
            (None, [listener]) => Some(listener),
            (None, _) => None,
        }
    }

    /// The suitability of the listener for the route; `None` without a listener, or if either kind is unknown.
    fn fit(&self) -> Option<Fit> {
        let (_, protocol) = self.listener()?;
        let fit = match self.role {
            Role::Router(rule) => match (route_kind(protocol)?, rule.member()?) {
                (wanted, kind) if wanted == kind => Fit::Exact,
                ("tcpRoute", _) | (_, "tcpRoute") => Fit::None,
                _ => Fit::Translated,
            },
            Role::Target { rule, .. } => {
                if protocol_suits(protocol, rule) {
                    Fit::Exact
                } else {
                    Fit::None
                }
            }
            // A proxy accepts HTTP/1.1 and HTTP/2 on each listener of a gateway.
            Role::Gateway => Fit::Exact,
            Role::Provider => {
                if *protocol == Protocol::Tcp {
                    Fit::None
                } else {
                    Fit::Exact
                }
            }
        };
        Some(fit)
    }
}

impl Role<'_> {
    const fn owner(self) -> Owner {
        match self {
            Self::Router(_) => Owner::Router,
            Self::Target { .. } => Owner::Node,
            Self::Gateway => Owner::Gateway,
            Self::Provider => Owner::Provider,
        }
    }
}

/// A route kind with its article: `an httpRoute`, `a tcpRoute`.
fn article(kind: &str) -> String {
    let article = if kind.starts_with('h') { "an" } else { "a" };
    format!("{article} {kind}")
}

/// The kind of route that suits a protocol.
const fn route_kind(protocol: &Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Http => Some("httpRoute"),
        Protocol::Http2 => Some("http2Route"),
        Protocol::Grpc => Some("grpcRoute"),
        Protocol::Tcp => Some("tcpRoute"),
        Protocol::Unrecognised(_) => None,
    }
}

pub(super) fn of_node(node: &VirtualNodeSpec) -> Vec<(Port, Protocol)> {
    node.listeners().iter().map(|one| (one.port_mapping.port, one.port_mapping.protocol.clone())).collect()
}

pub(super) fn of_router(router: &VirtualRouterSpec) -> Vec<(Port, Protocol)> {
    router.listeners().iter().map(|one| (one.port_mapping.port, one.port_mapping.protocol.clone())).collect()
}

pub(super) fn of_gateway(gateway: &VirtualGatewaySpec) -> Vec<(Port, Protocol)> {
    gateway.listeners.iter().map(|one| (one.port_mapping.port, Protocol::from(&one.port_mapping.protocol))).collect()
}
