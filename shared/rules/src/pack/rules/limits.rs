//! Time limits along a call path: one end allows a time and the other end does not.
//!
//! ```text
//!   caller ──▶ route: perRequest 15 s, idle 300 s ──▶ listener: perRequest 15 s, idle 300 s ──▶ application
//!          └─▶ node as provider, no route: 15 s and 300 s for good ──▶ listener
//! ```
//!
//! A gateway times out no earlier than the longest of its service's routes, so it adds no limit. A node that stands for
//! a host outside the mesh has no proxy, so its listener has no limit.

use jiff::SignedDuration;

use super::retries::{Limit, OWN_LIMIT, limit, limit_of_route, per_request, shown};
use crate::pack::context::RuleContext;
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::Provider;
use mesh::name::{ResourceKind, ResourcePath, VirtualNodeName};
use mesh::spec::{Duration, Listener, ListenerTimeout, Protocol, RouteRule, RouteSpec};
use mesh::traffic::Landing;

const LIMIT: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Retries,
    severity: Severity::Medium,
    on: &[ResourceKind::Route],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: AVAILABILITY,
    rests_on_certificates: false,
    check: idle_cut,
};

/// The default idle limit.
pub(super) const DEFAULT_IDLE: SignedDuration = SignedDuration::from_secs(300);

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "idle-limit-cut-by-listener",
        title: "The listener of a target ends idle streams and connections before their route does",
        why: "The route at the caller and the listener at the target each end a stream or connection without traffic, \
              after 300 s by default. Raising the idle limit of the route alone has no effect beyond the listener's. \
              This applies to HTTP, gRPC and TCP.",
        remedy: "Raise the listener's `timeout.idle` to that of the route.",
        check: idle_cut,
        ..LIMIT
    },
    Rule {
        id: "idle-limit-without-effect",
        title: "A route ends requests before its idle limit can have an effect",
        why: "The route has an idle limit and no `perRequest`, so every request and stream ends after 15 s, idle or \
              not. Long streams need both.",
        remedy: "Give the route a `timeout.perRequest` of the longest stream (0 is unlimited), and the listeners of its \
               targets too.",
        check: idle_without_effect,
        ..LIMIT
    },
    Rule {
        id: "listener-limit-without-effect",
        on: &[ResourceKind::VirtualNode],
        title: "Callers end requests before the limit of a listener can have an effect",
        why: "The listener's limit is longer than the limits of all its callers, and the shorter limit is a default: \
              15 s for a request and 300 s for an idle stream. A virtual node that provides a service without a router \
              has no route on which a limit could be raised, so the default applies to nodes and gateways that call \
              it.",
        remedy: "Raise the limit on the routes that lead to the listener. Where the node provides a service itself, put \
               a virtual router with a route between them.",
        check: listener_without_effect,
        ..LIMIT
    },
    Rule {
        id: "idle-limits-crossed",
        severity: Severity::Low,
        on: &[ResourceKind::VirtualNode],
        title: "A virtual node allows longer idle streams to a backend than its caller does",
        why: "A stream through the node is idle on both sides. The caller's side ends it first, so the longer limit \
              towards the backend has no effect for such streams.",
        remedy: "Raise `timeout.idle` on the outer route, and on the listener of the node.",
        check: idle_crossed,
        ..LIMIT
    },
];

fn idle_of_route(route: &RouteSpec) -> Option<&Duration> {
    match &route.rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => route.timeout.as_ref()?.idle.as_ref(),
        RouteRule::Grpc(route) => route.timeout.as_ref()?.idle.as_ref(),
        RouteRule::Tcp(route) => route.timeout.as_ref()?.idle.as_ref(),
        RouteRule::Unrecognised(_) => None,
    }
}

fn idle_of_listener(listener: &Listener) -> Option<&Duration> {
    match listener.timeout.as_ref()? {
        ListenerTimeout::Http(timeout) | ListenerTimeout::Http2(timeout) => timeout.idle.as_ref(),
        ListenerTimeout::Grpc(timeout) => timeout.idle.as_ref(),
        ListenerTimeout::Tcp(timeout) => timeout.idle.as_ref(),
        ListenerTimeout::Unrecognised(_) => None,
    }
}

fn request_of_listener(listener: &Listener) -> Option<&Duration> {
    match listener.timeout.as_ref()? {
        ListenerTimeout::Http(timeout) | ListenerTimeout::Http2(timeout) => timeout.per_request.as_ref(),
        ListenerTimeout::Grpc(timeout) => timeout.per_request.as_ref(),
        ListenerTimeout::Tcp(_) | ListenerTimeout::Unrecognised(_) => None,
    }
}

fn idle(given: Option<&Duration>) -> Option<Limit> {
    limit(given, DEFAULT_IDLE)
}

fn has_requests(route: &RouteSpec) -> bool {
    match &route.rule {
        RouteRule::Http(_) | RouteRule::Http2(_) | RouteRule::Grpc(_) => true,
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => false,
    }
}

fn idle_cut(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (route, flows) in context.flows() {
        // A default limit is not reported: the operator did not raise it.
        let Some(of_route) = idle_of_route(route.spec).and_then(|given| idle(Some(given))) else { continue };
        for flow in flows.iter().filter(|flow| !context.is_outside(flow.virtual_node)) {
            let Landing::Listener(listener) = flow.landing else { continue };
            let Some(of_listener) = idle(idle_of_listener(listener)).filter(|limit| *limit < of_route) else {
                continue;
            };
            let (node, port) = (flow.virtual_node, listener.port_mapping.port);
            let (limit, listener) = (shown(of_route), shown(of_listener));
            let message =
                format!("its idle limit is {limit}, and listener {port} of {node} ends idle streams after {listener}");
            let facts = facts! {"virtualNode": node, "port": port, "route": limit, "listener": listener};
            found.on_part(ResourcePath::Route(route.id.clone()), format!("target {node}@{port}"), message, facts);
        }
    }
}

fn idle_without_effect(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        if !has_requests(route) || per_request(route).is_some() {
            continue;
        }
        let Some(of_route) = idle_of_route(route).and_then(|given| idle(Some(given))) else { continue };
        if of_route > Limit::At(OWN_LIMIT) {
            let (limit, request) = (shown(of_route), shown(Limit::At(OWN_LIMIT)));
            let message = format!("its idle limit is {limit}, and its requests end after {request}, the default");
            found.on(context.route_path(router, name), message, facts! {"idle": limit, "perRequest": request});
        }
    }
}

/// A limit at a caller: its length, whether it is configured, and the resource that sets it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Outer {
    limit: Limit,
    is_chosen: bool,
    by: String,
}

/// Every way to a listener, each with its limit on requests (none for TCP) and on idle streams.
fn ways(
    context: &RuleContext<'_>,
    node: usize,
    name: &VirtualNodeName,
    listener: &Listener,
) -> Vec<(Option<Outer>, Outer)> {
    let links = &context.links;
    let mut all = Vec::new();
    for (route, flows) in links.routes_at(node).iter().filter_map(|number| context.flows_of(*number)) {
        let lands = flows.iter().any(|flow| {
            flow.virtual_node == name && matches!(flow.landing, Landing::Listener(landing) if landing == listener)
        });
        // Another rule reports an unreadable limit.
        if let (true, Some(of_idle)) = (lands, idle(idle_of_route(route.spec))) {
            let by = ResourcePath::Route(route.id.clone()).to_string();
            let request = limit_of_route(route.spec).map(|limit| Outer {
                limit,
                is_chosen: per_request(route.spec).is_some(),
                by: by.clone(),
            });
            all.push((request, Outer { limit: of_idle, is_chosen: idle_of_route(route.spec).is_some(), by }));
        }
    }
    for service in links.services_at(node).iter().filter(|one| links.provider(**one) == Some(Provider::Node(node))) {
        let Some(service) = links.services.name(*service) else { continue };
        let by = format!("{}, which {name} provides without a route,", context.service_path(service));
        let outer = |length| Outer { limit: Limit::At(length), is_chosen: false, by: by.clone() };
        let request = (listener.port_mapping.protocol != Protocol::Tcp).then(|| outer(OWN_LIMIT));
        all.push((request, outer(DEFAULT_IDLE)));
    }
    all
}

fn listener_without_effect(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (number, name, node) in context.numbered_nodes() {
        for listener in node.listeners().iter().filter(|listener| listener.timeout.is_some()) {
            let of_request = request_of_listener(listener).and_then(|given| limit(Some(given), OWN_LIMIT));
            let of_idle = idle_of_listener(listener).and_then(|given| idle(Some(given)));
            let ways = ways(context, number, name, listener);
            let requests = ways.iter().filter_map(|(request, _)| request.as_ref()).max();
            let idles = ways.iter().map(|(_, idle)| idle).max();
            let mut texts = Vec::new();
            let mut facts = facts! {"port": listener.port_mapping.port};
            for (member, own, outer) in [("perRequest", of_request, requests), ("idle", of_idle, idles)] {
                let (Some(own), Some(outer)) = (own, outer) else { continue };
                if own > outer.limit && !outer.is_chosen {
                    let (own, ends) = (shown(own), shown(outer.limit));
                    texts.push(format!("its {member} limit of {own} has no effect: {} ends after {ends}", outer.by));
                    facts.insert(format!("{member}Listener").into(), own.into());
                    facts.insert(format!("{member}Caller").into(), ends.into());
                }
            }
            if !texts.is_empty() {
                let part = format!("listener {}", listener.port_mapping.port);
                let message = format!("{part}: {}", texts.join("; "));
                found.on_part(context.node_path(name), part, message, facts);
            }
        }
    }
}

fn idle_crossed(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let of_routes = |chosen: bool| -> Vec<Option<Limit>> {
        let routes = context.links.routes.iter().map(|route| match idle_of_route(route.spec) {
            _ if !has_requests(route.spec) => None,
            None if chosen => None,
            given => idle(given),
        });
        routes.collect()
    };
    let outer = super::calls::shortest_towards(context, &of_routes(false), DEFAULT_IDLE);
    let inner = super::calls::longest_of(context, &of_routes(true), None);
    super::calls::each_crossed(context, &outer, &inner, |name, inner, outer| {
        let ((by, lets), (outer_by, ends)) = (inner, outer);
        let message = format!("{by} lets a stream be idle for {lets}, and {outer_by} ends it after {ends}");
        let facts = facts! {"inner": by, "innerLimit": lets, "outer": outer_by, "outerLimit": ends};
        found.on(context.node_path(name), message, facts);
    });
}
