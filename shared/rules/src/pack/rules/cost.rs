//! Unused resources, which cost money.

use crate::pack::context::{RuleContext, grouped};
use crate::pack::controls::INVENTORY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::Provider;
use mesh::name::ResourceKind;
use mesh::spec::ServiceDiscovery;

const COST: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Cost,
    severity: Severity::Low,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: INVENTORY,
    rests_on_certificates: false,
    check: unused_node,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "node-unused",
        profile: Profile::Strict,
        title: "No virtual service leads to a virtual node, and it calls none",
        why: "No call reaches it and it makes none, but its tasks and proxies may still run.",
        remedy: "Remove it, or let a route or a service lead to it.",
        check: unused_node,
        ..COST
    },
    Rule {
        id: "service-unused",
        profile: Profile::Strict,
        on: &[ResourceKind::VirtualService],
        title: "No caller uses a virtual service",
        why: "No virtual node has it as a backend and no gateway route leads to it, so the nodes behind it get no \
              traffic of the mesh.",
        remedy: "Declare it as a backend of its callers, or remove it.",
        check: unused_service,
        ..COST
    },
    Rule {
        id: "router-unused",
        profile: Profile::Strict,
        on: &[ResourceKind::VirtualRouter],
        title: "A virtual router provides no virtual service",
        why: "Its routes get no traffic.",
        remedy: "Make it the provider of a service, or remove it.",
        check: unused_router,
        ..COST
    },
    Rule {
        id: "nodes-alike",
        profile: Profile::Strict,
        severity: Severity::Info,
        title: "Several virtual nodes are the same but for their names",
        why: "They have the same discovery, listeners, backends and logs. One of them would suffice, and each counts \
              towards quotas and has to be updated with every change.",
        remedy: "Keep one, and use it in the routes.",
        check: alike,
        ..COST
    },
    Rule {
        id: "mesh-empty",
        profile: Profile::Strict,
        severity: Severity::Info,
        on: &[ResourceKind::Mesh],
        title: "A mesh has no virtual node",
        why: "Nothing runs in it.",
        remedy: "Delete it if it is no longer needed.",
        check: empty,
        ..COST
    },
];

fn unused_node(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let links = &context.links;
    for (number, name, _) in context.numbered_nodes() {
        let provides = links.services_at(number).iter().any(|one| links.provider(*one) == Some(Provider::Node(number)));
        if links.routes_at(number).is_empty() && !provides && links.backends(number).is_empty() {
            found.on(context.node_path(name), "no virtual service leads to it, and it calls none", facts! {});
        }
    }
}

fn unused_service(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for name in context.mesh.services.keys().filter(|name| !context.is_called(name)) {
        found.on(context.service_path(name), "no caller uses it", facts! {});
    }
}

fn unused_router(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, router) in context.routers() {
        if router.spec.is_some() && context.links.services_of_router(name).next().is_none() {
            let routes = router.routes.len();
            let message = format!("it provides no virtual service; it has {routes} routes");
            found.on(context.router_path(name), message, facts! {"routes": routes});
        }
    }
}

fn alike(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    // Most nodes differ by their discovery, so only nodes with the same discovery are compared completely.
    let placed = context.nodes().filter_map(|(name, node)| {
        let at = match node.service_discovery.as_ref()? {
            ServiceDiscovery::Dns(dns) => dns.hostname.clone(),
            ServiceDiscovery::AwsCloudMap(map) => format!("{}.{}", map.service_name, map.namespace_name),
            ServiceDiscovery::Unrecognised(_) => return None,
        };
        Some((at, name))
    });
    for names in grouped(placed).into_values().filter(|names| names.len() > 1) {
        let specs = names.into_iter().filter_map(|name| {
            let spec = context.mesh.nodes.get(name)?.to_json();
            Some((spec.to_string(), name))
        });
        for names in grouped(specs).into_values().filter(|names| names.len() > 1) {
            let Some(first) = names.first() else { continue };
            let listed: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            let message = format!("{} differ only by their names", listed.join(", "));
            found.on(context.node_path(first), message, facts! {"virtualNodes": listed});
        }
    }
}

fn empty(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    if context.mesh.spec.is_some() && context.mesh.nodes.is_empty() {
        found.on(context.mesh_path(), "it has no virtual node", facts! {});
    }
}
