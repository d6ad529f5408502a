//! Addresses and service discovery.

use std::collections::BTreeMap;

use crate::pack::context::RuleContext;
use crate::pack::controls::CONFIGURATION;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::certificates::ServiceInstances;
use mesh::change::Change;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::{IpPreference, ServiceDiscovery, VirtualNodeSpec};

const ADDRESS: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Discovery,
    severity: Severity::Low,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: CONFIGURATION,
    rests_on_certificates: false,
    check: of_mesh,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "mesh-ip-preference",
        on: &[ResourceKind::Mesh],
        title: "A mesh has another IP preference than the policy requires",
        why: "`addresses.ipPreference` sets the address family of proxies. A mesh with another preference, or none, \
              leaves the choice to each client.",
        remedy: "Set it on the mesh.",
        managed: &["appmesh-mesh-ip-pref-check"],
        check: of_mesh,
        ..ADDRESS
    },
    Rule {
        id: "node-dns-ip-preference",
        title: "A virtual node with DNS discovery has another IP preference than the policy requires",
        why: "A node's preference overrides that of the mesh. Without one, the mesh's applies.",
        remedy: "Set it, or remove it from the node so that the mesh's applies.",
        managed: &["appmesh-virtual-node-dns-ip-pref-check"],
        check: of_dns,
        ..ADDRESS
    },
    Rule {
        id: "node-cloud-map-ip-preference",
        title: "A virtual node with Cloud Map discovery has another IP preference than the policy requires",
        why: "A node's preference overrides that of the mesh. Without one, the mesh's applies.",
        remedy: "Set it, or remove it from the node so that the mesh's applies.",
        managed: &["appmesh-virtual-node-cloud-map-ip-pref-check"],
        check: of_cloud_map,
        ..ADDRESS
    },
    Rule {
        id: "ip-preferences-disjoint",
        severity: Severity::High,
        title: "A virtual node and the mesh have no address family in common",
        why: "The mesh uses one address family only, and the node only the other: its clients may have no route to the \
              addresses that they get.",
        remedy: "Use the same family for both, or let one of them prefer it instead of requiring it.",
        check: disjoint,
        ..ADDRESS
    },
    Rule {
        id: "discovery-matches-no-instance",
        profile: Profile::Core,
        severity: Severity::High,
        title: "No instance has the attributes of a virtual node's discovery",
        why: "A node with Cloud Map discovery has the instances with all of its attributes. The service has instances, \
              but none matches: each call gets 503. Evaluated where the instances are known, as in the control plane. \
              An attribute that is listed twice with different values never matches.",
        remedy: "Correct the attributes of the node, or register the instances with them.",
        check: matches_nothing,
        ..ADDRESS
    },
    Rule {
        id: "discovery-on-loopback",
        profile: Profile::Core,
        severity: Severity::High,
        title: "A virtual node's discovery returns the loopback address",
        why: "Each client that resolves the name reaches itself: the call never leaves the caller's task.",
        remedy: "Give the node a name that resolves to its tasks from other tasks.",
        check: loopback,
        ..ADDRESS
    },
];

fn of_mesh(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let Some(required) = context.policy.addresses.ip_preference.map(IpPreference::from) else { return };
    let Some(spec) = &context.mesh.spec else { return };
    let present = spec.service_discovery.as_ref().and_then(|discovery| discovery.ip_preference.as_ref());
    // A mesh that requires one address family makes nodes that require the other unreachable.
    let cut_off = context.nodes().any(|(_, node)| insists_otherwise(&required, own_preference(node)));
    report(found, context.mesh_path(), present, &required, !cut_off);
}

fn of_dns(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    of_nodes(context, found, |discovery| match discovery {
        ServiceDiscovery::Dns(dns) => Some(dns.ip_preference.as_ref()),
        ServiceDiscovery::AwsCloudMap(_) | ServiceDiscovery::Unrecognised(_) => None,
    });
}

fn of_cloud_map(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    of_nodes(context, found, |discovery| match discovery {
        ServiceDiscovery::AwsCloudMap(map) => Some(map.ip_preference.as_ref()),
        ServiceDiscovery::Dns(_) | ServiceDiscovery::Unrecognised(_) => None,
    });
}

fn of_nodes(
    context: &RuleContext<'_>,
    found: &mut RuleFindings<'_>,
    own: impl Fn(&ServiceDiscovery) -> Option<Option<&IpPreference>>,
) {
    let Some(required) = context.policy.addresses.ip_preference.map(IpPreference::from) else { return };
    let of_mesh = mesh_preference(context);
    for (name, node) in context.nodes() {
        if let Some(own) = node.service_discovery.as_ref().and_then(&own) {
            report(found, context.node_path(name), own.or(of_mesh), &required, true);
        }
    }
}

fn mesh_preference<'a>(context: &RuleContext<'a>) -> Option<&'a IpPreference> {
    context.mesh.spec.as_ref()?.service_discovery.as_ref()?.ip_preference.as_ref()
}

fn own_preference(node: &VirtualNodeSpec) -> Option<&IpPreference> {
    match node.service_discovery.as_ref()? {
        ServiceDiscovery::Dns(dns) => dns.ip_preference.as_ref(),
        ServiceDiscovery::AwsCloudMap(map) => map.ip_preference.as_ref(),
        ServiceDiscovery::Unrecognised(_) => None,
    }
}

/// Whether a node uses only addresses that its mesh does not use.
fn insists_otherwise(of_mesh: &IpPreference, own: Option<&IpPreference>) -> bool {
    matches!(
        (of_mesh, own),
        (IpPreference::Ipv4Only, Some(IpPreference::Ipv6Only)) | (IpPreference::Ipv6Only, Some(IpPreference::Ipv4Only))
    )
}

fn report(
    found: &mut RuleFindings<'_>,
    path: ResourcePath,
    present: Option<&IpPreference>,
    required: &IpPreference,
    safe: bool,
) {
    if present == Some(required) {
        return;
    }
    let is = present.map_or("none", IpPreference::as_str);
    let change = Change::SetIpPreference { resource: path.clone(), preference: required.clone() };
    let message = format!("its IP preference is {is}; {required} is required");
    // A node without a preference uses any address. A node with another preference may have no other address.
    found.on(path, message, facts! {"preference": present, "required": required}).remediation =
        (safe && present.is_none()).then_some(change);
}

fn disjoint(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let Some(of_mesh) = mesh_preference(context) else { return };
    for (name, node) in context.nodes() {
        let own = own_preference(node);
        if let Some(own) = own.filter(|own| insists_otherwise(of_mesh, Some(own))) {
            let message = format!("its IP preference is {own}, and the mesh's is {of_mesh}");
            found.on(context.node_path(name), message, facts! {"node": own, "mesh": of_mesh});
        }
    }
}

fn matches_nothing(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, node) in context.nodes() {
        let Some(ServiceDiscovery::AwsCloudMap(map)) = &node.service_discovery else { continue };
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        let mut twice = None;
        for attribute in map.attributes.iter().flatten() {
            let (key, value) = (attribute.key.as_str(), attribute.value.as_str());
            if wanted.insert(key, value).is_some_and(|earlier| earlier != value) {
                twice = Some(key);
            }
        }
        let (service, namespace) = (map.service_name.as_str(), map.namespace_name.as_str());
        let facts = facts! {"service": service, "namespace": namespace, "attributes": wanted};
        if let Some(key) = twice {
            let message = format!("its attribute {key} has two different required values");
            found.on(context.node_path(name), message, facts);
            continue;
        }
        let is_it = |one: &&ServiceInstances| one.service == service && one.namespace == namespace;
        let Some(known) = context.readings.instances.iter().find(is_it) else { continue };
        let has_all = |instance: &BTreeMap<String, String>| {
            wanted.iter().all(|(key, value)| instance.get(*key).map(String::as_str) == Some(*value))
        };
        if !known.attributes.is_empty() && !known.attributes.iter().any(has_all) {
            let listed: Vec<String> = wanted.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let count = known.attributes.len();
            let message = format!(
                "none of the {count} instances of {service} in {namespace} has its attributes {}",
                listed.join(", ")
            );
            found.on(context.node_path(name), message, facts);
        }
    }
}

fn loopback(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, node) in context.nodes() {
        let Some(ServiceDiscovery::Dns(dns)) = &node.service_discovery else { continue };
        let host = dns.hostname.trim_end_matches('.');
        let address = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if address || host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost") {
            found.on(context.node_path(name), format!("its host name is {host}"), facts! {"hostname": host});
        }
    }
}
