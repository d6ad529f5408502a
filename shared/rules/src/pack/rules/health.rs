//! Health checks.

use crate::pack::context::RuleContext;
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::{Port, Protocol};

const CHECK: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Resilience,
    severity: Severity::Medium,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: AVAILABILITY,
    rests_on_certificates: false,
    check: node_without,
};

const LISTENING: &[ResourceKind] = &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway];

/// The time to detect a dead endpoint, in milliseconds, from which its callers are affected for too long.
const TOO_SLOW: i64 = 120_000;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "node-listener-without-health-check",
        profile: Profile::Strict,
        title: "A listener of a virtual node has no health check",
        why: "Clients send requests to a dead or hanging endpoint until service discovery removes it, which may take \
              minutes.",
        remedy: "Give the listener a `healthCheck`. Only its owner knows a suitable path and its cost.",
        managed: &["appmesh-virtual-node-listeners-health-check-enabled"],
        check: node_without,
        ..CHECK
    },
    Rule {
        id: "gateway-listener-without-health-check",
        profile: Profile::Strict,
        on: &[ResourceKind::VirtualGateway],
        title: "A listener of a virtual gateway has no health check",
        why: "A load balancer in front of the gateway cannot detect whether this listener accepts requests.",
        remedy: "Give the listener a `healthCheck`.",
        managed: &["appmesh-virtual-gateway-listeners-health-check-enabled"],
        check: gateway_without,
        ..CHECK
    },
    Rule {
        id: "health-check-shallow",
        severity: Severity::Low,
        title: "A health check only tests whether the port is open",
        why: "A TCP check of a listener for requests passes while every request fails: the process listens, but its \
              database is unavailable.",
        remedy: "Use the listener's protocol, with a path that reflects the health of the application.",
        check: shallow,
        ..CHECK
    },
    Rule {
        id: "health-check-overlaps",
        severity: Severity::Low,
        on: LISTENING,
        title: "A health check may take longer than its interval",
        why: "With a `timeoutMillis` above `intervalMillis`, a hanging endpoint is probed again before the previous \
              probe times out.",
        remedy: "Make the timeout shorter than the interval.",
        check: overlaps,
        ..CHECK
    },
    Rule {
        id: "health-check-slow",
        severity: Severity::Low,
        on: LISTENING,
        title: "A health check takes minutes to detect a failure",
        why: "Interval times unhealthy threshold is the time for which a dead endpoint still gets requests; here it is \
              over two minutes.",
        remedy: "Probe more often, or lower the unhealthy threshold.",
        check: slow,
        ..CHECK
    },
    Rule {
        id: "health-check-grpc-without-http2",
        profile: Profile::Core,
        severity: Severity::High,
        on: LISTENING,
        title: "A gRPC health check is on a listener without HTTP/2",
        why: "gRPC needs HTTP/2. The App Mesh API refuses the check, and so does a proxy, with the whole cluster.",
        remedy: "Check by HTTP, or change the listener to HTTP/2 or gRPC.",
        check: grpc,
        ..CHECK
    },
];

fn node_without(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, node) in context.nodes() {
        for listener in node.listeners().iter().filter(|listener| listener.health_check.is_none()) {
            without(found, context.node_path(name), listener.port_mapping.port);
        }
    }
}

fn gateway_without(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, gateway) in context.gateways() {
        for listener in gateway.listeners.iter().filter(|listener| listener.health_check.is_none()) {
            without(found, context.gateway_path(name), listener.port_mapping.port);
        }
    }
}

fn without(found: &mut RuleFindings<'_>, path: ResourcePath, port: Port) {
    let message = format!("listener {port} has no health check");
    found.on_part(path, format!("listener {port}"), message, facts! {"port": port});
}

/// A health check of any listener.
struct Check {
    path: ResourcePath,
    port: Port,
    listener: Protocol,
    protocol: Protocol,
    interval: i64,
    timeout: i64,
    threshold: i64,
}

impl Check {
    fn part(&self) -> String {
        format!("listener {}", self.port)
    }
}

fn checks(context: &RuleContext<'_>) -> Vec<Check> {
    let mut all = Vec::new();
    for (name, node) in context.nodes() {
        for listener in node.listeners() {
            let Some(check) = &listener.health_check else { continue };
            all.push(Check {
                path: context.node_path(name),
                port: listener.port_mapping.port,
                listener: listener.port_mapping.protocol.clone(),
                protocol: check.protocol.clone(),
                interval: check.interval_millis.get(),
                timeout: check.timeout_millis.get(),
                threshold: check.unhealthy_threshold.get(),
            });
        }
    }
    for (name, gateway) in context.gateways() {
        for listener in &gateway.listeners {
            let Some(check) = &listener.health_check else { continue };
            all.push(Check {
                path: context.gateway_path(name),
                port: listener.port_mapping.port,
                listener: Protocol::from(&listener.port_mapping.protocol),
                protocol: Protocol::from(&check.protocol),
                interval: check.interval_millis.get(),
                timeout: check.timeout_millis.get(),
                threshold: check.unhealthy_threshold.get(),
            });
        }
    }
    all
}

fn shallow(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for check in checks(context) {
        if check.protocol == Protocol::Tcp && check.listener != Protocol::Tcp {
            let message = format!("listener {} uses {} and is checked by tcp", check.port, check.listener);
            let facts = facts! {"port": check.port, "listener": check.listener};
            found.on_part(check.path.clone(), check.part(), message, facts);
        }
    }
}

fn overlaps(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for check in checks(context).into_iter().filter(|check| check.timeout > check.interval) {
        let (timeout, interval) = (check.timeout, check.interval);
        let message = format!("listener {} is checked every {interval} ms for up to {timeout} ms", check.port);
        let facts = facts! {"port": check.port, "intervalMillis": interval, "timeoutMillis": timeout};
        found.on_part(check.path.clone(), check.part(), message, facts);
    }
}

fn slow(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for check in checks(context) {
        let takes = check.interval * check.threshold;
        if takes > TOO_SLOW {
            let message = format!("listener {}: a failure is seen after {} s", check.port, takes / 1000);
            found.on_part(check.path.clone(), check.part(), message, facts! {"port": check.port, "takesMillis": takes});
        }
    }
}

fn grpc(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for check in checks(context) {
        if check.protocol == Protocol::Grpc && matches!(check.listener, Protocol::Http | Protocol::Tcp) {
            let message = format!("listener {} uses {} and is checked by grpc", check.port, check.listener);
            let facts = facts! {"port": check.port, "listener": check.listener};
            found.on_part(check.path.clone(), check.part(), message, facts);
        }
    }
}
