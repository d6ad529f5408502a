//! Maps a finding to the member of the resource that it is about.
//!
//! The part of a finding is a text for operators (`listener 8080`, `target orders@80`, `backend pay.local`). This
//! module maps it to the path of a member in the API's spelling, so that a report can name the line of a file.

use serde_json::Value;

use super::finding::Finding;

/// The member that a rule evaluates, below the listener, weighted target or backend that its part names.
const BELOW_PART: [(&str, &str); 25] = [
    ("backend-tls-not-enforced", ".virtualService.clientPolicy"),
    ("certificate-expired", ".tls.certificate"),
    ("certificate-expiring", ".tls.certificate"),
    ("certificate-in-file", ".tls.certificate"),
    ("certificate-not-distributable", ".tls.certificate"),
    ("certificate-outlives-its-chain", ".tls.certificate"),
    ("certificate-unread", ".tls.certificate"),
    ("certificate-weak-key", ".tls.certificate"),
    ("client-policy-leaves-out-port", ".virtualService.clientPolicy.tls.ports"),
    ("gateway-listener-without-health-check", ".healthCheck"),
    ("gateway-listener-without-tls", ".tls"),
    ("health-check-grpc-without-http2", ".healthCheck.protocol"),
    ("health-check-overlaps", ".healthCheck.timeoutMillis"),
    ("health-check-shallow", ".healthCheck.protocol"),
    ("health-check-slow", ".healthCheck.intervalMillis"),
    ("listener-asks-no-certificate", ".tls.validation"),
    ("listener-limit-without-effect", ".timeout"),
    ("listener-protocol-unlike-port", ".portMapping.protocol"),
    ("listener-tls-permissive", ".tls.mode"),
    ("listener-without-connection-pool", ".connectionPool"),
    ("listener-without-outlier-detection", ".outlierDetection"),
    ("node-listener-without-health-check", ".healthCheck"),
    ("node-listener-without-tls", ".tls"),
    ("outlier-detection-off", ".outlierDetection"),
    ("route-target-not-listening", ".port"),
];

/// The member that a rule evaluates, for every part. `KIND` stands for the kind of the route, such as `httpRoute`.
const MEMBER_OF_RULE: [(&str, &str); 34] = [
    ("discovery-matches-no-instance", "spec.serviceDiscovery.awsCloudMap.attributes"),
    ("discovery-on-loopback", "spec.serviceDiscovery.dns.hostname"),
    ("egress-aws-not-allowed", "spec.egressFilter"),
    ("gateway-backend-tls-not-enforced", "spec.backendDefaults.clientPolicy"),
    ("gateway-host-replaced", "spec.KIND.match.hostname"),
    ("gateway-prefix-without-slash", "spec.KIND.match.prefix"),
    ("gateway-route-same-match", "spec.KIND.match"),
    ("gateway-without-access-log", "spec.logging.accessLog"),
    ("idle-limit-cut-by-listener", "spec.KIND.timeout.idle"),
    ("idle-limit-without-effect", "spec.KIND.timeout.idle"),
    ("ip-preferences-disjoint", "spec.serviceDiscovery.dns.ipPreference"),
    ("log-on-disk", "spec.logging.accessLog.file.path"),
    ("log-with-secret-header", "spec.logging.accessLog.file.format"),
    ("log-without-request-id", "spec.logging.accessLog.file.format"),
    ("manifest-mesh-selects-nothing", ""),
    ("mesh-egress-open", "spec.egressFilter.type"),
    ("mesh-ip-preference", "spec.serviceDiscovery.ipPreference"),
    ("node-backend-tls-not-enforced", "spec.backendDefaults.clientPolicy"),
    ("node-cloud-map-ip-preference", "spec.serviceDiscovery.awsCloudMap.ipPreference"),
    ("node-dns-ip-preference", "spec.serviceDiscovery.dns.ipPreference"),
    ("node-without-access-log", "spec.logging.accessLog"),
    ("retries-amplified", "spec.KIND.retryPolicy"),
    ("retries-of-writes", "spec.KIND.retryPolicy"),
    ("retries-on-nothing", "spec.KIND.retryPolicy"),
    ("retries-without-room", "spec.KIND.retryPolicy"),
    ("route-drained", "spec.KIND.action.weightedTargets"),
    ("route-kind-other-than-router", "spec.KIND"),
    ("route-shadowed", "spec.KIND.match"),
    ("route-single-target", "spec.KIND.action.weightedTargets"),
    ("route-weights-not-100", "spec.KIND.action.weightedTargets"),
    ("service-provided-by-node", "spec.provider"),
    ("service-without-provider", "spec.provider"),
    ("time-limit-cut-by-listener", "spec.KIND.timeout.perRequest"),
    ("time-limit-off", "spec.KIND.timeout"),
];

/// The kinds of routes.
const ROUTE_KINDS: [&str; 4] = ["httpRoute", "http2Route", "grpcRoute", "tcpRoute"];

impl Finding {
    /// The member of the resource that the finding is about: `spec.listeners[0].tls.mode`, `tags`. Empty for the
    /// resource as a whole. The member may be absent, which is often the violation. `spec` is the spec of the resource.
    #[must_use]
    pub fn member(&self, spec: &Value) -> String {
        let (rule, part) = (self.rule.as_str(), self.part.as_str());
        if rule.starts_with("tag-") {
            return "tags".to_owned();
        }
        if part == "spec" || part.starts_with("spec.") {
            return part.to_owned();
        }
        let kind = ROUTE_KINDS.into_iter().find(|kind| spec.get(kind).is_some());
        if let Some((_, member)) = MEMBER_OF_RULE.iter().find(|(id, _)| *id == rule) {
            return member.replace("KIND", kind.unwrap_or_default());
        }
        let is_of_route = part.starts_with("timeout.") || part.starts_with("retryPolicy.");
        if let (true, Some(kind)) = (is_of_route, kind) {
            return format!("spec.{kind}.{part}");
        }
        match of_part(part, spec, kind).or_else(|| self.of_backend(spec)) {
            Some(base) => {
                let below = BELOW_PART.iter().find(|(id, _)| *id == rule).map_or("", |(_, below)| *below);
                // The certificate of a client is in its policy, the certificate of a listener in a member of the
                // listener.
                let of_client = part == "client" || part.starts_with("client of ");
                format!("{base}{}", if of_client { "" } else { below })
            }
            None => String::new(),
        }
    }

    /// The backend that leads to the virtual service of the facts.
    fn of_backend(&self, spec: &Value) -> Option<String> {
        let service = self.facts.get("virtualService").and_then(Value::as_str)?;
        backend(service, spec)
    }
}

/// The member that a part names.
fn of_part(part: &str, spec: &Value, kind: Option<&str>) -> Option<String> {
    if part == "client" {
        return Some("spec.backendDefaults.clientPolicy".to_owned());
    }
    if let Some((service, _)) = part.split_once(" at ") {
        return backend(service, spec);
    }
    let (what, name) = part.split_once(' ')?;
    match what {
        "listener" => {
            let (name, below) = name.split_once(' ').unwrap_or((name, ""));
            let is_named = |listener: &Value| port_of(listener.get("portMapping")).is_some_and(|port| port == name);
            let index = spec.get("listeners")?.as_array()?.iter().position(is_named)?;
            let separator = if below.is_empty() { "" } else { "." };
            Some(format!("spec.listeners[{index}]{separator}{below}"))
        }
        "target" => target(name, spec, kind?),
        "backend" | "service" => backend(name, spec),
        "client" => backend(name.strip_prefix("of ")?, spec),
        "virtualNode" | "virtualRouter" | "virtualService" | "virtualGateway" => reference(what, name, spec, "spec"),
        _ => None,
    }
}

fn port_of(holder: Option<&Value>) -> Option<String> {
    holder?.get("port").and_then(Value::as_u64).map(|port| port.to_string())
}

/// The weighted target that `orders@8080` or `orders` names.
fn target(name: &str, spec: &Value, kind: &str) -> Option<String> {
    let targets = spec.get(kind)?.get("action")?.get("weightedTargets")?.as_array()?;
    let (node, port) = name.rsplit_once('@').map_or((name, None), |(node, port)| (node, Some(port)));
    let of_node = |target: &&Value| target.get("virtualNode").and_then(Value::as_str) == Some(node);
    let on_port = |target: &Value| port_of(Some(target)).as_deref() == port;
    let exact = targets.iter().position(|target| of_node(&target) && on_port(target));
    // A target without a port is for the only listener of its node.
    let index = exact.or_else(|| targets.iter().position(|target| of_node(&target)))?;
    Some(format!("spec.{kind}.action.weightedTargets[{index}]"))
}

fn backend(service: &str, spec: &Value) -> Option<String> {
    let leads_there = |backend: &Value| {
        let name = backend.get("virtualService").and_then(|backend| backend.get("virtualServiceName"));
        name.and_then(Value::as_str) == Some(service)
    };
    let index = spec.get("backends")?.as_array()?.iter().position(leads_there)?;
    Some(format!("spec.backends[{index}]"))
}

/// The first member that refers to a resource of a kind by its name.
fn reference(kind: &str, name: &str, value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(member, value)| {
            let path = format!("{path}.{member}");
            let is_named = value.as_str() == Some(name) && member.strip_suffix("Name").unwrap_or(member) == kind;
            if is_named { Some(path) } else { reference(kind, name, value, &path) }
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| reference(kind, name, item, &format!("{path}[{index}]")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pack::{RuleName, Severity, rules};

    fn finding(rule: &str, part: &str, facts: Value) -> Finding {
        Finding {
            rule: RuleName::try_from(rule.to_owned()).unwrap(),
            severity: Severity::High,
            resource: "mesh/shop/virtualNode/web".parse().unwrap(),
            part: part.to_owned(),
            facts: serde_json::from_value(facts).unwrap(),
            message: String::new(),
            remediation: None,
        }
    }

    #[test]
    fn part_of_a_finding_maps_to_a_member() {
        let node = json!({
            "listeners": [{"portMapping": {"port": 80}}, {"portMapping": {"port": 443}, "tls": {"mode": "PERMISSIVE"}}],
            "backends": [{"virtualService": {"virtualServiceName": "a.local"}},
                {"virtualService": {"virtualServiceName": "pay.local"}}],
        });
        let route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
            {"virtualNode": "a", "weight": 1, "port": 80}, {"virtualNode": "a", "weight": 1, "port": 81},
            {"virtualNode": "b", "weight": 1}]}}});
        for (rule, part, spec, expected) in [
            ("listener-tls-permissive", "listener 443", &node, "spec.listeners[1].tls.mode"),
            ("node-listener-without-health-check", "listener 80", &node, "spec.listeners[0].healthCheck"),
            ("node-listener-without-health-check", "listener 8080", &node, ""),
            ("edge-plaintext", "pay.local at pay@80", &node, "spec.backends[1]"),
            ("backend-tls-not-enforced", "backend a.local", &node, "spec.backends[0].virtualService.clientPolicy"),
            ("certificate-expired", "client of pay.local", &node, "spec.backends[1]"),
            ("certificate-expired", "client", &node, "spec.backendDefaults.clientPolicy"),
            (
                "reference-dangling",
                "virtualService pay.local",
                &node,
                "spec.backends[1].virtualService.virtualServiceName",
            ),
            ("spec-refused", "spec.listeners[1].portMapping.port", &node, "spec.listeners[1].portMapping.port"),
            ("tag-missing", "owner", &node, "tags"),
            ("node-unused", "", &node, ""),
            ("route-target-not-listening", "target a@81", &route, "spec.httpRoute.action.weightedTargets[1].port"),
            ("route-target-other-protocol", "target b@90", &route, "spec.httpRoute.action.weightedTargets[2]"),
            ("time-limit-cut-by-listener", "target a@80", &route, "spec.httpRoute.timeout.perRequest"),
            ("duration-incomplete", "timeout.idle", &route, "spec.httpRoute.timeout.idle"),
            (
                "duration-incomplete",
                "retryPolicy.perRetryTimeout",
                &route,
                "spec.httpRoute.retryPolicy.perRetryTimeout",
            ),
            ("duration-incomplete", "listener 443 timeout.http.idle", &node, "spec.listeners[1].timeout.http.idle"),
            ("route-shadowed", "", &route, "spec.httpRoute.match"),
            ("reference-dangling", "virtualNode b", &route, "spec.httpRoute.action.weightedTargets[2].virtualNode"),
        ] {
            assert_eq!(finding(rule, part, json!({})).member(spec), expected, "{rule} {part}");
        }
        let host = finding("egress-host-not-allowed", "pay.example", json!({"virtualService": "pay.local"}));
        assert_eq!(host.member(&node), "spec.backends[1]");
    }

    #[test]
    fn every_named_rule_exists() {
        for (id, _) in BELOW_PART.iter().chain(&MEMBER_OF_RULE) {
            assert!(rules().any(|rule| rule.id == *id), "{id}");
        }
    }
}
