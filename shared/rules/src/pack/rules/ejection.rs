//! Outlier detection and connection pools.

use crate::pack::context::RuleContext;
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::{ResourceKind, VirtualNodeName};
use mesh::spec::{DnsResponseType, Listener, OutlierDetection, ServiceDiscovery, VirtualNodeSpec};

const EJECTION: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Resilience,
    severity: Severity::Low,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: AVAILABILITY,
    rests_on_certificates: false,
    check: without,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "listener-without-outlier-detection",
        profile: Profile::Strict,
        title: "A listener has no outlier detection",
        why: "An endpoint that passes its health check and fails every other request keeps its share of the traffic.",
        remedy: "Give the listener an `outlierDetection`, with a `maxEjectionPercent` that leaves enough endpoints.",
        managed: &["appmesh-virtual-node-listeners-outlier-detect-enabled"],
        check: without,
        ..EJECTION
    },
    Rule {
        id: "outlier-detection-without-effect",
        severity: Severity::Medium,
        title: "Outlier detection cannot have an effect",
        why: "The node is discovered by DNS with the response type LOADBALANCER (the default): for its clients all \
              addresses are one endpoint, so none can be ejected.",
        remedy: "Set `responseType` to ENDPOINTS if each address is a task, or use Cloud Map.",
        check: no_effect,
        ..EJECTION
    },
    Rule {
        id: "outlier-detection-ejects-all",
        severity: Severity::Medium,
        title: "Outlier detection may eject every endpoint",
        why: "With a `maxEjectionPercent` of 100, a failure that all endpoints share, such as an unavailable database, \
              leaves no endpoint at all.",
        remedy: "Choose a share without which the others can carry the load: 50 is common.",
        check: ejects_all,
        ..EJECTION
    },
    Rule {
        id: "outlier-detection-off",
        severity: Severity::Medium,
        title: "Outlier detection is configured and disabled",
        why: "An interval or an ejection time of 0, or a share of 0 percent, ejects nothing. Proxies refuse an \
              interval of 0, so it is not sent to them.",
        remedy: "Set times and a share, or remove it.",
        check: off,
        ..EJECTION
    },
    Rule {
        id: "listener-without-connection-pool",
        profile: Profile::Strict,
        title: "A listener accepts unlimited connections and requests",
        why: "Without a connection pool the bound is 2,147,483,647: a burst of requests takes the node down before any \
              is refused.",
        remedy: "Give the listener a `connectionPool` with the capacity of the application.",
        check: no_pool,
        ..EJECTION
    },
];

fn each<'a>(
    context: &RuleContext<'a>,
) -> impl Iterator<Item = (&'a VirtualNodeName, &'a VirtualNodeSpec, &'a Listener)> {
    context.nodes().flat_map(|(name, node)| node.listeners().iter().map(move |listener| (name, node, listener)))
}

fn detections<'a>(
    context: &RuleContext<'a>,
) -> impl Iterator<Item = (&'a VirtualNodeName, &'a VirtualNodeSpec, &'a Listener, &'a OutlierDetection)> {
    each(context)
        .filter_map(|(name, node, listener)| Some((name, node, listener, listener.outlier_detection.as_ref()?)))
}

fn without(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, _, listener) in each(context).filter(|(_, _, listener)| listener.outlier_detection.is_none()) {
        let port = listener.port_mapping.port;
        let message = format!("listener {port} has no outlier detection");
        found.on_part(context.node_path(name), format!("listener {port}"), message, facts! {"port": port});
    }
}

fn no_effect(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, node, listener, _) in detections(context) {
        let Some(ServiceDiscovery::Dns(dns)) = &node.service_discovery else { continue };
        if dns.response_type.as_ref().is_none_or(|response| *response == DnsResponseType::LoadBalancer) {
            let (port, host) = (listener.port_mapping.port, &dns.hostname);
            let message = format!("listener {port} has outlier detection, and {host} is one endpoint to its clients");
            let facts = facts! {"port": port, "hostname": host};
            found.on_part(context.node_path(name), format!("listener {port}"), message, facts);
        }
    }
}

fn ejects_all(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, _, listener, detection) in detections(context) {
        if detection.max_ejection_percent.get() == 100 {
            let port = listener.port_mapping.port;
            let message = format!("the outlier detection of listener {port} may eject all endpoints at once");
            found.on_part(context.node_path(name), format!("listener {port}"), message, facts! {"port": port});
        }
    }
}

fn off(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, _, listener, detection) in detections(context) {
        // Another rule reports an unreadable duration.
        let nothing = |duration: &mesh::spec::Duration| duration.length().is_some_and(|length| length.is_zero());
        let mut members = Vec::new();
        members.extend(nothing(&detection.interval).then_some("interval"));
        members.extend(nothing(&detection.base_ejection_duration).then_some("baseEjectionDuration"));
        members.extend((detection.max_ejection_percent.get() == 0).then_some("maxEjectionPercent"));
        if !members.is_empty() {
            let port = listener.port_mapping.port;
            let message = format!("the outlier detection of listener {port} has no {}", members.join(", no "));
            let facts = facts! {"port": port, "members": members};
            found.on_part(context.node_path(name), format!("listener {port}"), message, facts);
        }
    }
}

fn no_pool(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let has_proxy = each(context).filter(|(name, ..)| !context.is_outside(name));
    for (name, _, listener) in has_proxy.filter(|(_, _, listener)| listener.connection_pool.is_none()) {
        let port = listener.port_mapping.port;
        let message = format!("listener {port} has no connection pool");
        found.on_part(context.node_path(name), format!("listener {port}"), message, facts! {"port": port});
    }
}
