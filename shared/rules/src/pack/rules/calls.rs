//! The attempts and time limits of requests along a call path.

use jiff::SignedDuration;

use super::retries::{Limit, OWN_LIMIT, limit_of_route, shown};
use crate::pack::context::RuleContext;
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::Provider;
use mesh::name::{ResourceKind, ResourcePath, VirtualNodeName};
use mesh::spec::Protocol;

const CALL: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Retries,
    severity: Severity::Medium,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: AVAILABILITY,
    rests_on_certificates: false,
    check: limits,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "retries-amplified",
        severity: Severity::High,
        on: &[ResourceKind::Route, ResourceKind::VirtualService],
        title: "Retries along a call path exceed the allowed factor",
        why: "Each hop retries independently. Three attempts at each of four hops make 81 of one request, all of them \
              at the failing service. Without a retry policy there are three attempts by default, so this happens \
              without any configured retry. The finding is on the hop that exceeds `routing.retryAmplification`; in a \
              cycle of calls each hop counts once.",
        remedy: "Retry at one place of the path, best close to the caller, and set `maxRetries` to 0 on the other \
               routes.",
        check: amplified,
        ..CALL
    },
    Rule {
        id: "time-limits-crossed",
        title: "A virtual node waits longer for a backend than its caller waits for it",
        why: "The caller times out while the node still waits for its backend: the result has no receiver, and the \
              caller's retries start the work again. A route without a limit counts with the default of 15 s.",
        remedy: "Give the inner route the shorter limit, or the outer one the longer.",
        check: limits,
        ..CALL
    },
];

fn amplified(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let limit = u64::from(context.policy.routing.retry_amplification);
    for amplified in context.paths().amplified(limit) {
        let path: Vec<String> = amplified.path.iter().map(|(node, tries)| format!("{node} x{tries}")).collect();
        let message = format!(
            "one request can become {} tries at {} ({} are allowed): {}",
            amplified.tries,
            amplified.node,
            limit,
            path.join(", ")
        );
        let facts = facts! {"tries": amplified.tries, "allowed": limit, "virtualNode": amplified.node, "path": path};
        let resource = match (amplified.router, amplified.route) {
            (Some(router), Some(route)) => context.route_path(router, route),
            // A service that a node provides has no route, so the default attempts apply.
            _ => match context.links.services_of_node(amplified.node).next() {
                Some(service) => context.service_path(service),
                None => context.node_path(amplified.node),
            },
        };
        found.on_part(resource, format!("target {}", amplified.node), message, facts);
    }
}

/// A limit with the resource that sets it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set {
    limit: Limit,
    by: By,
}

/// The source of a limit, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Route(usize),
    Service(usize),
}

impl By {
    fn path(self, context: &RuleContext<'_>) -> Option<ResourcePath> {
        match self {
            Self::Route(route) => context.links.routes.get(route).map(|route| ResourcePath::Route(route.id.clone())),
            Self::Service(service) => context.links.services.name(service).map(|service| context.service_path(service)),
        }
    }
}

fn limits(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let of_routes: Vec<_> = context.links.routes.iter().map(|route| limit_of_route(route.spec)).collect();
    let shortest = shortest_towards(context, &of_routes, OWN_LIMIT);
    let longest = longest_of(context, &of_routes, Some(OWN_LIMIT));
    each_crossed(context, &shortest, &longest, |name, inner, outer| {
        let ((by, waits), (outer_by, waited)) = (inner, outer);
        let message = format!("{by} lets a call take {waits}, and {outer_by} waits {waited} for the node");
        let facts = facts! {"inner": by, "innerLimit": waits, "outer": outer_by, "outerLimit": waited};
        found.on(context.node_path(name), message, facts);
    });
}

/// A resource that sets a limit, with the limit as text.
pub(super) type Setter = (ResourcePath, String);

/// Calls back for each node with a longer limit towards a backend than its caller has for it: the inner limit, then the
/// outer one.
pub(super) fn each_crossed(
    context: &RuleContext<'_>,
    outer: &[Option<Set>],
    inner: &[Option<Set>],
    mut visit: impl FnMut(&VirtualNodeName, Setter, Setter),
) {
    let setter = |set: Set| Some((set.by.path(context)?, shown(set.limit)));
    for (number, name, _) in context.numbered_nodes() {
        let towards =
            context.links.backends(number).iter().filter_map(|service| inner.get(*service).copied().flatten());
        let Some(inner) = towards.max() else { continue };
        let outer = outer.get(number).copied().flatten();
        let Some(outer) = outer.filter(|outer| outer.limit < inner.limit) else { continue };
        if let (Some(inner), Some(outer)) = (setter(inner), setter(outer)) {
            visit(name, inner, outer);
        }
    }
}

/// By node, the shortest time that a caller waits for it. Only called nodes have one.
pub(super) fn shortest_towards(
    context: &RuleContext<'_>,
    of_routes: &[Option<Limit>],
    default: SignedDuration,
) -> Vec<Option<Set>> {
    let links = &context.links;
    let mut all: Vec<Option<Set>> = vec![None; links.nodes.count()];
    let mut take = |node: usize, set: Set| {
        if let Some(shortest) = all.get_mut(node) {
            *shortest = Some(shortest.map_or(set, |shortest| shortest.min(set)));
        }
    };
    let is_called = |service: &usize| !links.callers(*service).is_empty();
    for router in (0..links.routers.count()).filter(|router| links.services_through(*router).iter().any(is_called)) {
        for route in links.routes_through(router) {
            let Some(limit) = of_routes.get(route.number).copied().flatten() else { continue };
            let weights = route.spec.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
            for (node, _) in route.targets.iter().zip(weights).filter(|(_, target)| target.weight.get() > 0) {
                take(*node, Set { limit, by: By::Route(route.number) });
            }
        }
    }
    for service in (0..links.services.count()).filter(is_called) {
        if let Some(Provider::Node(node)) = links.provider(service)
            && speaks_requests(context, node)
        {
            take(node, Set { limit: Limit::At(default), by: By::Service(service) });
        }
    }
    all
}

/// By virtual service, the longest time that a call of it may take.
pub(super) fn longest_of(
    context: &RuleContext<'_>,
    of_routes: &[Option<Limit>],
    default: Option<SignedDuration>,
) -> Vec<Option<Set>> {
    let links = &context.links;
    let longest_through = |router: usize| {
        let limits = links.routes_through(router).filter_map(|route| {
            Some(Set { limit: of_routes.get(route.number).copied().flatten()?, by: By::Route(route.number) })
        });
        limits.max()
    };
    let by_router: Vec<_> = (0..links.routers.count()).map(longest_through).collect();
    let of_service = |service: usize| match links.provider(service)? {
        Provider::Router(router) => by_router.get(router).copied().flatten(),
        Provider::Node(node) => {
            let limit = Limit::At(default.filter(|_| speaks_requests(context, node))?);
            Some(Set { limit, by: By::Service(service) })
        }
    };
    (0..links.services.count()).map(of_service).collect()
}

fn speaks_requests(context: &RuleContext<'_>, node: usize) -> bool {
    let node = context.links.nodes.get(node);
    node.is_some_and(|node| node.listeners().iter().any(|listener| listener.port_mapping.protocol != Protocol::Tcp))
}
