//! Whether a service survives the failure of one target.

use std::collections::BTreeSet;

use crate::pack::context::{RuleContext, grouped};
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::LinkedRoute;
use mesh::name::{ResourceKind, ResourcePath, VirtualNodeName};
use mesh::spec::{AwsCloudMapServiceDiscovery, Port, ServiceDiscovery, TargetEntry, VirtualServiceProvider};

const SPREAD: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Resilience,
    severity: Severity::Low,
    on: &[ResourceKind::Route],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: AVAILABILITY,
    rests_on_certificates: false,
    check: single,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "route-single-target",
        profile: Profile::Strict,
        title: "A route has a single target",
        why: "When the target fails, no other target can take over, and a new version cannot be tried with a part of \
              the traffic.",
        remedy: "Add a second virtual node, at weight 0 if it is a standby.",
        check: single,
        ..SPREAD
    },
    Rule {
        id: "route-single-zone",
        title: "All targets of a route are in one zone",
        why: "When the zone fails, so does everything behind the route. The zone of a node comes from its tag or from \
              an attribute of its Cloud Map instances, as named in `resilience.zoneKeys`. A route with a target in an \
              unknown zone is not evaluated.",
        remedy: "Add a target in another zone.",
        check: single_zone,
        ..SPREAD
    },
    Rule {
        id: "route-targets-same-endpoints",
        severity: Severity::Medium,
        title: "Two targets of a route are the same endpoints",
        why: "Both virtual nodes have the same discovery name and port. Moving weight from one to the other moves no \
              traffic: a failover or a canary between them has no effect.",
        remedy: "Give each its own host name, Cloud Map service or instance attributes.",
        check: same_endpoints,
        ..SPREAD
    },
    Rule {
        id: "service-provided-by-node",
        profile: Profile::Strict,
        severity: Severity::Info,
        on: &[ResourceKind::VirtualService],
        title: "A virtual node provides a virtual service directly",
        why: "Without a router there are no routes: the time limit stays 15 s, retries stay at the default, and \
              traffic cannot be failed over or shifted.",
        remedy: "Put a virtual router with one route between them.",
        check: direct,
        ..SPREAD
    },
];

/// The virtual nodes that are the targets of a route, each once.
fn nodes_of(route: &LinkedRoute<'_>) -> Vec<usize> {
    let mut nodes = route.targets.clone();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn single(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for route in &context.links.routes {
        if let [node] = nodes_of(route).as_slice()
            && let Some(node) = context.links.nodes.name(*node)
        {
            let message = format!("{node} is its only target");
            found.on(ResourcePath::Route(route.id.clone()), message, facts! {"virtualNode": node});
        }
    }
}

fn zone<'a>(context: &'a RuleContext<'_>, node: usize) -> Option<&'a str> {
    let keys = &context.policy.resilience.zone_keys;
    let tags = context.register.find(ResourceKind::VirtualNode, node).and_then(|entry| entry.tags);
    let of_tag = tags.and_then(|tags| keys.iter().find_map(|key| tags.value(key)));
    let of_attribute = || match context.links.nodes.get(node)?.service_discovery.as_ref()? {
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

fn single_zone(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    if context.policy.resilience.zone_keys.is_empty() {
        return;
    }
    let zones: Vec<Option<&str>> = (0..context.links.nodes.count()).map(|node| zone(context, node)).collect();
    for route in &context.links.routes {
        let mut of_targets = route.targets.iter().map(|node| zones.get(*node).copied().flatten());
        let Some(zone) = of_targets.next().flatten().filter(|zone| of_targets.all(|other| other == Some(*zone))) else {
            continue;
        };
        let nodes: Vec<_> = nodes_of(route).into_iter().filter_map(|node| context.links.nodes.name(node)).collect();
        if nodes.len() > 1 {
            let message = format!("all of its {} targets are in zone {zone}", nodes.len());
            let facts = facts! {"zone": zone, "virtualNodes": nodes};
            found.on(ResourcePath::Route(route.id.clone()), message, facts);
        }
    }
}

/// The port of a target, and the service discovery of its node.
fn found_at<'a>(context: &RuleContext<'a>, node: usize, target: &TargetEntry) -> Option<(Port, &'a ServiceDiscovery)> {
    let spec = context.links.nodes.get(node)?;
    let port = match (target.port, spec.listeners()) {
        (Some(port), _) => port,
        (None, [listener]) => listener.port_mapping.port,
        (None, _) => return None,
    };
    Some((port, spec.service_discovery.as_ref()?))
}

/// Whether two nodes have the same discovery name. Ports and attributes may still distinguish their endpoints.
fn same_name(one: &ServiceDiscovery, other: &ServiceDiscovery) -> bool {
    match (one, other) {
        (ServiceDiscovery::Dns(one), ServiceDiscovery::Dns(other)) => {
            one.hostname.eq_ignore_ascii_case(&other.hostname)
        }
        (ServiceDiscovery::AwsCloudMap(one), ServiceDiscovery::AwsCloudMap(other)) => {
            let name = |map: &AwsCloudMapServiceDiscovery| format!("{}.{}", map.service_name, map.namespace_name);
            name(one) == name(other)
        }
        _ => false,
    }
}

/// The endpoints of a target as a text, which is equal for equal endpoints.
fn endpoints(port: Port, discovery: &ServiceDiscovery) -> Option<String> {
    match discovery {
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

fn same_endpoints(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for route in &context.links.routes {
        let targets = route.spec.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
        let placed: Vec<_> = (route.targets.iter().zip(targets))
            .filter_map(|(node, target)| Some((*node, found_at(context, *node, target)?)))
            .collect();
        let suspicious = placed.iter().enumerate().any(|(index, (node, (_, at)))| {
            placed.iter().skip(index + 1).any(|(other, (_, of_other))| node != other && same_name(at, of_other))
        });
        if !suspicious {
            continue;
        }
        let texts = placed.into_iter().filter_map(|(node, (port, at))| Some((endpoints(port, at)?, node)));
        for (at, nodes) in grouped(texts) {
            let nodes: BTreeSet<usize> = nodes.into_iter().collect();
            if nodes.len() > 1 {
                let names = nodes.into_iter().filter_map(|node| context.links.nodes.name(node));
                let names: Vec<&str> = names.map(VirtualNodeName::as_str).collect();
                let at = at.trim_end().to_owned();
                let message = format!("{} have the same endpoints: {at}", names.join(" and "));
                let facts = facts! {"virtualNodes": names, "at": at};
                found.on_part(ResourcePath::Route(route.id.clone()), at, message, facts);
            }
        }
    }
}

fn direct(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, service) in &context.mesh.services {
        if let Some(VirtualServiceProvider::VirtualNode(provider)) = &service.provider {
            let node = &provider.virtual_node_name;
            let message = format!("virtual node {node} provides it without a router");
            found.on(context.service_path(name), message, facts! {"virtualNode": node});
        }
    }
}
