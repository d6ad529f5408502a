//! What becomes of a request along a call path.

use std::collections::HashMap;

use super::retries::{Limit, OWN_LIMIT, limit_of_route, shown};
use crate::name::{ResourceKind, ResourcePath, VirtualNodeName, VirtualServiceName};
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{Found, facts};
use crate::pack::rule::{Group, Rule, Severity};
use crate::pack::scene::Scene;
use crate::spec::{Protocol, VirtualServiceProvider};

const CALL: Rule = Rule {
    id: "",
    group: Group::Retries,
    severity: Severity::Medium,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    mend: "",
    managed: &[],
    controls: AVAILABILITY,
    check: limits,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "retries-amplified",
        severity: Severity::High,
        on: &[ResourceKind::Route, ResourceKind::VirtualService],
        title: "Retries along a call path multiply beyond what is allowed",
        why: "Each hop tries again on its own. Three tries at each of four hops make 81 of one request, all of them at \
              the service that is failing already. The service itself tries three times wherever no retry policy says \
              otherwise, so this grows without anybody writing a retry. The finding is on the hop where the bound of \
              `routing.retryAmplification` is passed; within a circle of calls each hop counts once.",
        mend: "Retry at one place of the path, best next to the caller, and set `maxRetries` to 0 on the other routes.",
        check: amplified,
        ..CALL
    },
    Rule {
        id: "time-limits-crossed",
        title: "A virtual node waits longer for a backend than its own caller waits for it",
        why: "The caller gives up while the node still waits for its backend: the work behind it goes on for nobody, \
              and the caller's retries start it again. Both limits can't hold together. Where a route has no limit of \
              its own the service's 15 s count.",
        mend: "Give the inner route the shorter limit, or the outer one the longer.",
        check: limits,
        ..CALL
    },
];

fn amplified(scene: &Scene<'_>, found: &mut Found<'_>) {
    let limit = u64::from(scene.policy.routing.retry_amplification);
    for amplified in scene.paths().amplified(limit) {
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
            (Some(router), Some(route)) => scene.route_path(router, route),
            // A service that a node provides has no route: the tries are the service's own.
            _ => match scene.links.services_of_node(amplified.node).next() {
                Some(service) => scene.service_path(service),
                None => scene.node_path(amplified.node),
            },
        };
        found.on_part(resource, format!("target {}", amplified.node), message, facts);
    }
}

/// A limit with the resource that sets it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Set {
    limit: Limit,
    by: ResourcePath,
}

fn limits(scene: &Scene<'_>, found: &mut Found<'_>) {
    let (shortest, longest) = (shortest_towards(scene), longest_of(scene));
    for (name, node) in scene.nodes() {
        let Some(inner) = node.backend_services().filter_map(|service| longest.get(service)).max() else { continue };
        let Some(outer) = shortest.get(name).filter(|outer| outer.limit < inner.limit) else { continue };
        let (waits, waited) = (shown(inner.limit), shown(outer.limit));
        let message = format!("{} lets a call take {waits}, and {} waits {waited} for the node", inner.by, outer.by);
        let facts = facts! {"inner": inner.by, "innerLimit": waits, "outer": outer.by, "outerLimit": waited};
        found.on(scene.node_path(name), message, facts);
    }
}

/// By node, the shortest time that something waits for it. Only what is called has one.
fn shortest_towards<'a>(scene: &Scene<'a>) -> HashMap<&'a VirtualNodeName, Set> {
    let mut all: HashMap<&VirtualNodeName, Set> = HashMap::new();
    let mut take = |node: &'a VirtualNodeName, set: Set| match all.get_mut(node) {
        Some(shortest) => {
            if set < *shortest {
                *shortest = set;
            }
        }
        None => {
            all.insert(node, set);
        }
    };
    for (router, entry) in scene.routers() {
        if !scene.links.services_of_router(router).any(|service| scene.is_called(service)) {
            continue;
        }
        for (name, route) in &entry.routes {
            let Some(limit) = limit_of_route(route) else { continue };
            let targets = route.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
            for target in targets.filter(|target| target.weight.get() > 0) {
                take(&target.virtual_node, Set { limit, by: scene.route_path(router, name) });
            }
        }
    }
    for (service, spec) in scene.mesh.services.iter().filter(|(service, _)| scene.is_called(service)) {
        if let Some(VirtualServiceProvider::VirtualNode(provider)) = &spec.provider
            && speaks_requests(scene, &provider.virtual_node_name)
        {
            take(&provider.virtual_node_name, Set { limit: Limit::At(OWN_LIMIT), by: scene.service_path(service) });
        }
    }
    all
}

/// By virtual service, the longest time that a call of it may take.
fn longest_of<'a>(scene: &Scene<'a>) -> HashMap<&'a VirtualServiceName, Set> {
    let mut of_routers = HashMap::new();
    for (router, entry) in scene.routers() {
        let limits = entry.routes.iter().filter_map(|(name, route)| {
            Some(Set { limit: limit_of_route(route)?, by: scene.route_path(router, name) })
        });
        if let Some(longest) = limits.max() {
            of_routers.insert(router, longest);
        }
    }
    let of_service = scene.mesh.services.iter().filter_map(|(service, spec)| {
        let set = match spec.provider.as_ref()? {
            VirtualServiceProvider::VirtualRouter(provider) => of_routers.get(&provider.virtual_router_name)?.clone(),
            VirtualServiceProvider::VirtualNode(provider) => {
                let by = scene.service_path(service);
                speaks_requests(scene, &provider.virtual_node_name)
                    .then_some(Set { limit: Limit::At(OWN_LIMIT), by })?
            }
            VirtualServiceProvider::Unrecognised(_) => return None,
        };
        Some((service, set))
    });
    of_service.collect()
}

fn speaks_requests(scene: &Scene<'_>, node: &VirtualNodeName) -> bool {
    let node = scene.mesh.nodes.get(node);
    node.is_some_and(|node| node.listeners().iter().any(|listener| listener.port_mapping.protocol != Protocol::Tcp))
}
