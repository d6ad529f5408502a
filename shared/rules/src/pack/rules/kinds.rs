//! Kinds of routes and the listeners of their routers.

use crate::pack::context::RuleContext;
use crate::pack::controls::CONFIGURATION;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::Router;
use mesh::name::{ResourceKind, VirtualRouterName};
use mesh::spec::{Protocol, RouteRule, RouteSpec, VirtualRouterSpec};

pub(super) const RULES: &[Rule] = &[Rule {
    id: "route-kind-other-than-router",
    profile: Profile::Core,
    group: Group::Routing,
    severity: Severity::Medium,
    on: &[ResourceKind::Route],
    title: "A route has another kind than the listeners of its router",
    why: "The proxy serves a router's port by the listener's protocol. HTTP, HTTP/2 and gRPC routes match the same \
          requests. A tcpRoute matches no request of an HTTP port, and only a tcpRoute matches the connections of a \
          TCP port. If the route matches nothing, the finding is high, and critical where a called router has no other \
          route.",
    remedy: "Give the router a listener of the route's protocol, or change the kind of the route.",
    managed: &[],
    controls: CONFIGURATION,
    rests_on_certificates: false,
    check: other_than_router,
}];

fn kind(rule: &RouteRule) -> Option<Protocol> {
    match rule {
        RouteRule::Http(_) => Some(Protocol::Http),
        RouteRule::Http2(_) => Some(Protocol::Http2),
        RouteRule::Grpc(_) => Some(Protocol::Grpc),
        RouteRule::Tcp(_) => Some(Protocol::Tcp),
        RouteRule::Unrecognised(_) => None,
    }
}

/// The protocols of the listeners that a route is for.
fn spoken<'a>(router: &'a VirtualRouterSpec, route: &RouteSpec) -> Vec<&'a Protocol> {
    let of_route = |port| route.rule.match_port().is_none_or(|matched| matched == port);
    let listeners = router.listeners().iter().map(|listener| &listener.port_mapping);
    listeners.filter(|mapping| of_route(mapping.port)).map(|mapping| &mapping.protocol).collect()
}

/// Whether a route of this kind gets no traffic from listeners of these protocols. An unknown protocol may
/// give it traffic.
fn gives_nothing(spoken: &[&Protocol], kind: &Protocol) -> bool {
    let takes = |protocol: &Protocol| match protocol {
        Protocol::Unrecognised(_) => true,
        Protocol::Tcp => *kind == Protocol::Tcp,
        Protocol::Http | Protocol::Http2 | Protocol::Grpc => *kind != Protocol::Tcp,
    };
    !spoken.iter().any(|protocol| takes(protocol))
}

fn is_dead(router: &VirtualRouterSpec, route: &RouteSpec) -> bool {
    kind(&route.rule).is_some_and(|kind| gives_nothing(&spoken(router, route), &kind))
}

/// The severity of a route without traffic.
fn severity(
    context: &RuleContext<'_>,
    name: &VirtualRouterName,
    entry: &Router,
    router: &VirtualRouterSpec,
) -> Severity {
    let is_called = context.links.services_of_router(name).any(|service| context.is_called(service));
    let is_all = entry.routes.values().all(|route| is_dead(router, route));
    if is_called && is_all { Severity::Critical } else { Severity::High }
}

fn other_than_router(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, entry) in context.routers() {
        let Some(spec) = &entry.spec else { continue };
        for (name, route) in &entry.routes {
            let Some(wanted) = kind(&route.rule) else { continue };
            let protocols = spoken(spec, route);
            if protocols.is_empty() || protocols.contains(&&wanted) {
                continue;
            }
            let nothing = gives_nothing(&protocols, &wanted);
            let mut spoken: Vec<&str> = protocols.into_iter().map(Protocol::as_str).collect();
            spoken.sort_unstable();
            spoken.dedup();
            let kind = route.rule.member().unwrap_or_default();
            let effect = if nothing { ": it gets no traffic" } else { "" };
            let message = format!("it is a {kind}, and its router uses {}{effect}", spoken.join(", "));
            let facts = facts! {"kind": kind, "listeners": spoken, "takesNothing": nothing};
            let path = context.route_path(router, name);
            if nothing {
                found.by_effect(severity(context, router, entry, spec), path, message, facts);
            } else {
                found.on(path, message, facts);
            }
        }
    }
}
