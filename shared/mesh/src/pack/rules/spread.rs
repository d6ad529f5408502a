//! Whether a failure of one target is survived.

use std::collections::BTreeSet;

use crate::name::{ResourceKind, ResourcePath, VirtualNodeName};
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{Found, facts};
use crate::pack::rule::{Group, Rule, Severity};
use crate::pack::scene::{Scene, grouped};
use crate::spec::{RouteSpec, ServiceDiscovery, TargetEntry, VirtualServiceProvider};

const SPREAD: Rule = Rule {
    id: "",
    group: Group::Resilience,
    severity: Severity::Low,
    on: &[ResourceKind::Route],
    title: "",
    why: "",
    mend: "",
    managed: &[],
    controls: AVAILABILITY,
    check: single,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "route-single-target",
        title: "A route has a single target",
        why: "When the target fails there is nothing to fail over to, and a new version can't be tried on a part of \
              the traffic.",
        mend: "Add a second virtual node, at weight 0 if it is a standby.",
        check: single,
        ..SPREAD
    },
    Rule {
        id: "route-single-zone",
        title: "All targets of a route are in one zone",
        why: "When the zone fails, so does everything behind the route. A node's zone is told by a tag of it or an \
              attribute of its Cloud Map instances, as `resilience.zoneKeys` names them; a route with a target whose \
              zone isn't told is not judged.",
        mend: "Add a target in another zone.",
        check: single_zone,
        ..SPREAD
    },
    Rule {
        id: "route-targets-same-endpoints",
        severity: Severity::Medium,
        title: "Two targets of a route are the same endpoints",
        why: "Both virtual nodes are found under the same name and port. Moving weight from one to the other moves \
              nothing: a fail-over or a canary between them is only seeming.",
        mend: "Give each its own host name, Cloud Map service or instance attributes.",
        check: same_endpoints,
        ..SPREAD
    },
    Rule {
        id: "service-provided-by-node",
        severity: Severity::Info,
        on: &[ResourceKind::VirtualService],
        title: "A virtual service is provided by a node directly",
        why: "Without a router there are no routes: the time limit stays 15 s, retries stay the service's own, and \
              nothing can be failed over or shifted.",
        mend: "Put a virtual router with one route between them.",
        check: direct,
        ..SPREAD
    },
];

fn targets(route: &RouteSpec) -> impl Iterator<Item = &TargetEntry> {
    route.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter())
}

fn single(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (router, name, route) in scene.routes() {
        let nodes: BTreeSet<_> = targets(route).map(|target| &target.virtual_node).collect();
        if let (Some(node), 1) = (nodes.first(), nodes.len()) {
            let message = format!("{node} is its only target");
            found.on(scene.route_path(router, name), message, facts! {"virtualNode": node});
        }
    }
}

fn zone<'a>(scene: &Scene<'a>, name: &VirtualNodeName) -> Option<&'a str> {
    let keys = &scene.policy.resilience.zone_keys;
    let tags = scene.mesh.tags.get(&ResourcePath::VirtualNode(scene.mesh.name.clone(), name.clone()));
    let of_tag = tags.and_then(|tags| keys.iter().find_map(|key| tags.value(key)));
    let of_attribute = || match scene.mesh.nodes.get(name)?.service_discovery.as_ref()? {
        ServiceDiscovery::AwsCloudMap(map) => {
            let mut attributes = map.attributes.iter().flatten();
            attributes
                .find(|attribute| keys.iter().any(|key| key == attribute.key.as_str()))
                .map(|at| at.value.as_str())
        }
        ServiceDiscovery::Dns(_) | ServiceDiscovery::Unrecognised(_) => None,
    };
    of_tag.or_else(of_attribute)
}

fn single_zone(scene: &Scene<'_>, found: &mut Found<'_>) {
    if scene.policy.resilience.zone_keys.is_empty() {
        return;
    }
    for (router, name, route) in scene.routes() {
        let nodes: BTreeSet<_> = targets(route).map(|target| &target.virtual_node).collect();
        let zones: Option<BTreeSet<&str>> = nodes.iter().map(|node| zone(scene, node)).collect();
        let Some(zones) = zones.filter(|zones| zones.len() == 1 && nodes.len() > 1) else { continue };
        let zone = zones.first().copied().unwrap_or_default();
        let message = format!("all of its {} targets are in zone {zone}", nodes.len());
        found.on(scene.route_path(router, name), message, facts! {"zone": zone, "virtualNodes": nodes});
    }
}

/// Where a target is found, as a text that is equal for equal endpoints.
fn endpoints(scene: &Scene<'_>, target: &TargetEntry) -> Option<String> {
    let node = scene.mesh.nodes.get(&target.virtual_node)?;
    let port = match (target.port, node.listeners()) {
        (Some(port), _) => port,
        (None, [listener]) => listener.port_mapping.port,
        (None, _) => return None,
    };
    match node.service_discovery.as_ref()? {
        ServiceDiscovery::Dns(dns) => Some(format!("{}:{port}", dns.hostname.to_ascii_lowercase())),
        ServiceDiscovery::AwsCloudMap(map) => {
            let mut attributes: Vec<String> = (map.attributes.iter().flatten())
                .map(|attribute| format!("{}={}", attribute.key.as_str(), attribute.value.as_str()))
                .collect();
            attributes.sort();
            Some(format!("{}.{}:{port} {}", map.service_name, map.namespace_name, attributes.join(",")))
        }
        ServiceDiscovery::Unrecognised(_) => None,
    }
}

fn same_endpoints(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (router, name, route) in scene.routes() {
        let placed = targets(route).filter_map(|target| Some((endpoints(scene, target)?, &target.virtual_node)));
        for (at, nodes) in grouped(placed) {
            let nodes: BTreeSet<_> = nodes.into_iter().collect();
            if nodes.len() > 1 {
                let names: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
                let at = at.trim_end().to_owned();
                let message = format!("{} are both found at {at}", names.join(" and "));
                let facts = facts! {"virtualNodes": names, "at": at};
                found.on_part(scene.route_path(router, name), at, message, facts);
            }
        }
    }
}

fn direct(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (name, service) in &scene.mesh.services {
        if let Some(VirtualServiceProvider::VirtualNode(provider)) = &service.provider {
            let node = &provider.virtual_node_name;
            let message = format!("virtual node {node} provides it without a router");
            found.on(scene.service_path(name), message, facts! {"virtualNode": node});
        }
    }
}
