//! Routes without traffic or without targets.

use std::collections::BTreeMap;

use crate::pack::context::RuleContext;
use crate::pack::controls::CONFIGURATION;
use crate::pack::finding::{RuleFindings, facts, listed};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::{UnreachableReason, shadowed_routes_of, unreachable_routes_along};
use mesh::name::{ResourceKind, ResourcePath};

const ROUTE: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Routing,
    severity: Severity::Medium,
    on: &[ResourceKind::Route],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: CONFIGURATION,
    rests_on_certificates: false,
    check: shadowed,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "route-shadowed",
        title: "A route matches nothing, because another route matches first",
        why: "Routes are tried by priority, then by the longest prefix. A route after another one with the same or a \
              broader match never gets a request. Routers with over four times as many routes as \
              `quotas.routesPerRouter` (50 where it is absent) are not compared.",
        remedy: "Give the narrower route the smaller priority, or remove it.",
        check: shadowed,
        ..ROUTE
    },
    Rule {
        id: "route-unreachable",
        severity: Severity::Low,
        title: "No request reaches a route",
        why: "Its router provides no virtual service, nothing calls the services that it provides, or the route is for \
              a port on which the router does not listen.",
        remedy: "Give the router a service and a caller, name one of its ports, or remove the route.",
        check: unreachable,
        ..ROUTE
    },
    Rule {
        id: "route-drained",
        profile: Profile::Core,
        severity: Severity::High,
        title: "All weights of a route are zero",
        why: "The route matches requests and has no target for them: each gets 503.",
        remedy: "Give a target a weight. Only the owner or a restore point knows the right one.",
        check: drained,
        ..ROUTE
    },
    Rule {
        id: "route-target-twice",
        severity: Severity::Low,
        title: "A route names a target twice",
        why: "The weights of both entries are added. An operator or a tool that changes one of them moves less traffic \
              than intended.",
        remedy: "Merge the entries into one with the sum of the weights.",
        check: target_twice,
        ..ROUTE
    },
    Rule {
        id: "route-weights-not-100",
        profile: Profile::Strict,
        severity: Severity::Info,
        title: "The weights of a route do not add up to 100",
        why: "Weights are relative, so this works. Operators read them as percent, which 30 and 30 are not.",
        remedy: "Write weights that add up to 100 in the same proportion.",
        controls: &[],
        check: not_100,
        ..ROUTE
    },
    Rule {
        id: "router-without-routes",
        profile: Profile::Core,
        on: &[ResourceKind::VirtualRouter],
        title: "A virtual router that provides a service has no route",
        why: "Requests for the service get 404.",
        remedy: "Add a route, or let a virtual node provide the service.",
        check: no_routes,
        ..ROUTE
    },
    Rule {
        id: "service-without-provider",
        severity: Severity::Low,
        on: &[ResourceKind::VirtualService],
        title: "A virtual service has no provider",
        why: "The name is known in the mesh, but no node provides it: calls get 404.",
        remedy: "Give it a virtual node or a virtual router as provider, or remove it.",
        check: no_provider,
        ..ROUTE
    },
];

fn shadowed(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    // All pairs of a router's routes are compared, which is fast only for few routes.
    let most = 4 * usize::try_from(context.policy.quotas.routes_per_router.unwrap_or(50).min(250)).unwrap_or(50);
    for (router, entry) in context.routers().filter(|(_, entry)| entry.routes.len() <= most) {
        for shadowed in shadowed_routes_of(context.mesh, router, entry) {
            let by = &shadowed.by.route;
            let message = format!("it matches no request: route {by} matches all of them first");
            found.on(ResourcePath::Route(shadowed.route), message, facts! {"by": by});
        }
    }
}

fn unreachable(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for unreachable in unreachable_routes_along(&context.links) {
        let (message, facts) = match unreachable.reason {
            UnreachableReason::NoService => {
                ("its router provides no virtual service".to_owned(), facts! {"reason": "no-service"})
            }
            UnreachableReason::NoCaller => {
                ("the services of its router have no caller".to_owned(), facts! {"reason": "no-caller"})
            }
            UnreachableReason::NoListener { port } => (
                format!("it is for port {port}, on which its router doesn't listen"),
                facts! {"reason": "no-listener", "port": port},
            ),
        };
        found.on(ResourcePath::Route(unreachable.route), message, facts);
    }
}

fn drained(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        let Some(action) = route.rule.action() else { continue };
        if action.weighted_targets.iter().all(|target| target.weight.get() == 0) {
            let targets: Vec<&str> =
                action.weighted_targets.iter().map(|target| target.virtual_node.as_str()).collect();
            let message = format!("no target has a weight: {}", targets.join(", "));
            found.on(context.route_path(router, name), message, facts! {"targets": targets});
        }
    }
}

fn target_twice(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        let mut weights: BTreeMap<_, Vec<u8>> = BTreeMap::new();
        for target in route.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter()) {
            weights.entry((&target.virtual_node, target.port)).or_default().push(target.weight.get());
        }
        for ((node, port), weights) in weights.into_iter().filter(|(_, weights)| weights.len() > 1) {
            let part = port.map_or(format!("target {node}"), |port| format!("target {node}@{port}"));
            let message = format!("it names {node} {} times, with the weights {}", weights.len(), listed(&weights));
            let facts = facts! {"virtualNode": node, "port": port, "weights": weights};
            found.on_part(context.route_path(router, name), part, message, facts);
        }
    }
}

fn not_100(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        let Some(action) = route.rule.action() else { continue };
        let sum: u16 = action.weighted_targets.iter().map(|target| u16::from(target.weight.get())).sum();
        // A single target gets all traffic for any weight, and a separate rule covers a drained route.
        if sum != 0 && sum != 100 && action.weighted_targets.len() > 1 {
            let message = format!("its weights add up to {sum}");
            found.on(context.route_path(router, name), message, facts! {"sum": sum});
        }
    }
}

fn no_routes(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, entry) in context.routers().filter(|(_, entry)| entry.routes.is_empty()) {
        let services: Vec<_> = context.links.services_of_router(name).collect();
        if !services.is_empty() && entry.spec.is_some() {
            let names: Vec<&str> = services.iter().map(|service| service.as_str()).collect();
            let message = format!("it provides {} and has no route", names.join(", "));
            found.on(context.router_path(name), message, facts! {"virtualServices": names});
        }
    }
}

fn no_provider(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, service) in &context.mesh.services {
        if service.provider.is_none() {
            let called = context.is_called(name);
            let message = if called { "it has no provider, and it is called" } else { "it has no provider" };
            found.on(context.service_path(name), message, facts! {"called": called});
        }
    }
}
