//! Encryption settings of single resources. `edges` evaluates the two ends of a call together.

use crate::pack::context::{RuleContext, Socket};
use crate::pack::controls::{AUTHENTICATION, ENCRYPTION};
use crate::pack::finding::{RuleFindings, facts, listed};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::change::Change;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::bounded::Text;
use mesh::spec::{Backend, ClientPolicy, ListenerTls, Port, TlsMode};
use mesh::tls::{ClientCall, client_call, client_policy_for};
use policy::Protection;

const TLS: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Tls,
    severity: Severity::Medium,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: ENCRYPTION,
    rests_on_certificates: false,
    check: node_default,
};

const LISTENING: &[ResourceKind] = &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "node-backend-tls-not-enforced",
        profile: Profile::Strict,
        title: "A virtual node may call its backends in plain text",
        why: "Without an enforced client policy in its backend defaults, a node follows the server: a listener without \
              TLS is called in plain text, and the loss of a listener's TLS goes unnoticed. A node without backends is \
              not evaluated.",
        remedy: "Add a validation to its `backendDefaults.clientPolicy.tls` and set `enforce` to true. Where a policy \
               exists and is only not enforced, enforcing it is the remediation if every backend has TLS.",
        managed: &["appmesh-virtual-node-backend-defaults-tls-on"],
        check: node_default,
        ..TLS
    },
    Rule {
        id: "gateway-backend-tls-not-enforced",
        profile: Profile::Strict,
        on: &[ResourceKind::VirtualGateway],
        title: "A virtual gateway may call virtual services in plain text",
        why: "Outside traffic enters at the gateway. Without an enforced client policy in its backend defaults, the \
              traffic continues in plain text to every listener without TLS.",
        remedy: "Add a validation to its `backendDefaults.clientPolicy.tls` and set `enforce` to true.",
        managed: &["appmesh-virtual-gateway-backend-defaults-tls"],
        check: gateway_default,
        ..TLS
    },
    Rule {
        id: "backend-tls-not-enforced",
        title: "A backend's client policy does not enforce TLS",
        why: "A backend's policy replaces the node's default completely. A policy with `enforce: false`, or without \
              TLS, is an exception from a default that enforces it.",
        remedy: "Enforce it, or remove the policy from the backend so that the default applies.",
        managed: &["appmesh-virtual-node-service-backends-tls-enforced"],
        check: backend_policy,
        ..TLS
    },
    Rule {
        id: "gateway-listener-without-tls",
        profile: Profile::Core,
        severity: Severity::High,
        on: &[ResourceKind::VirtualGateway],
        title: "A listener of a virtual gateway accepts plain text",
        why: "Outside traffic can be read and changed on its way to the gateway.",
        remedy: "Give the listener a certificate and the mode STRICT. A load balancer that terminates TLS in front of it \
               only moves the gap.",
        check: gateway_listener,
        ..TLS
    },
    Rule {
        id: "node-listener-without-tls",
        profile: Profile::Strict,
        title: "A listener of a virtual node accepts plain text only",
        why: "No client can encrypt its calls to this listener, with any client policy.",
        remedy: "Give the listener a certificate, first with the mode PERMISSIVE, and STRICT once its clients use TLS.",
        check: node_listener,
        ..TLS
    },
    Rule {
        id: "listener-tls-permissive",
        severity: Severity::Low,
        on: LISTENING,
        title: "A listener with TLS also accepts plain text",
        why: "PERMISSIVE is for the migration of clients. While it is set, any client that reaches the port may omit \
              TLS and its client certificate.",
        remedy: "Set the mode to STRICT. That is the remediation where every caller in the mesh uses TLS.",
        check: permissive,
        ..TLS
    },
    Rule {
        id: "listener-asks-no-certificate",
        on: LISTENING,
        title: "A listener does not request client certificates",
        why: "Reported where the policy requires mutual TLS: without validation, the listener accepts any client.",
        remedy: "Add a trust to the listener's `tls.validation`, by file or SDS, once every client presents a \
               certificate.",
        controls: AUTHENTICATION,
        check: no_validation,
        ..TLS
    },
    Rule {
        id: "client-policy-leaves-out-port",
        title: "A client policy omits the port of a backend",
        why: "A policy with `ports` applies to those ports only. The backend listens on another port, so it is called \
              without the policy: unverified, or in plain text.",
        remedy: "Add the port, or remove `ports` so that the policy applies to all.",
        check: port_left_out,
        ..TLS
    },
    Rule {
        id: "client-policy-wildcard-name",
        severity: Severity::Low,
        on: LISTENING,
        title: "An enforced client policy names a wildcard",
        why: "Enforced TLS compares names exactly: a wildcard in the policy matches only a certificate with the same \
              wildcard, and calls fail.",
        remedy: "List the host names.",
        controls: AUTHENTICATION,
        check: wildcard,
        ..TLS
    },
];

fn enforced(policy: Option<&ClientPolicy>) -> bool {
    policy.and_then(|policy| policy.tls.as_ref()).is_some_and(|tls| tls.enforce.unwrap_or(true))
}

fn state(policy: Option<&ClientPolicy>) -> &'static str {
    match policy.map(|policy| policy.tls.is_some()) {
        None => "no client policy is set",
        Some(false) => "the client policy has no TLS",
        Some(true) => "the client policy doesn't enforce TLS",
    }
}

fn node_default(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, node) in context.nodes().filter(|(_, node)| node.backend_services().next().is_some()) {
        let policy = node.backend_defaults.as_ref().and_then(|defaults| defaults.client_policy.as_ref());
        if enforced(policy) {
            continue;
        }
        let has_tls = policy.is_some_and(|policy| policy.tls.is_some());
        let safe = has_tls && node.backend_services().all(|service| context.has_tls(service));
        let path = context.node_path(name);
        let change = Change::EnforceClientTls { resource: path.clone(), backend: None };
        let message = format!("{} in its backend defaults", state(policy));
        found.on(path, message, facts! {"clientTls": has_tls}).remediation = safe.then_some(change);
    }
}

fn gateway_default(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, gateway) in context.gateways() {
        let policy = gateway.backend_defaults.as_ref().and_then(|defaults| defaults.client_policy.as_ref());
        if !enforced(policy) {
            let has_tls = policy.is_some_and(|policy| policy.tls.is_some());
            let message = format!("{} in its backend defaults", state(policy));
            found.on(context.gateway_path(name), message, facts! {"clientTls": has_tls});
        }
    }
}

fn backend_policy(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, node) in context.nodes() {
        for backend in node.backends.iter().flatten() {
            let Backend::VirtualService(backend) = backend else { continue };
            let Some(policy) = &backend.client_policy else { continue };
            if enforced(Some(policy)) {
                continue;
            }
            let service = &backend.virtual_service_name;
            let path = context.node_path(name);
            let safe = policy.tls.is_some() && context.has_tls(service);
            let change = Change::EnforceClientTls { resource: path.clone(), backend: Some(service.clone()) };
            let message = format!("for its backend {service}, {}", state(Some(policy)));
            let facts = facts! {"virtualService": service, "clientTls": policy.tls.is_some()};
            found.on_part(path, format!("backend {service}"), message, facts).remediation = safe.then_some(change);
        }
    }
}

fn without_tls(context: &RuleContext<'_>, found: &mut RuleFindings<'_>, kind: ResourceKind) {
    for Socket { of, port, tls } in context.sockets.iter().filter(|socket| socket.of.kind() == kind) {
        if matches!(of, ResourcePath::VirtualNode(_, node) if context.is_outside(node)) {
            continue;
        }
        let mode = tls.map_or("absent", |tls| tls.mode.as_str());
        if tls.is_none_or(|tls| tls.mode == TlsMode::Disabled) {
            let message = format!("listener {port} accepts plain text: its TLS is {}", mode.to_lowercase());
            found.on_part(of.clone(), format!("listener {port}"), message, facts! {"port": port, "mode": mode});
        }
    }
}

fn gateway_listener(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    if context.folds_plaintext {
        return;
    }
    without_tls(context, found, ResourceKind::VirtualGateway);
}

fn node_listener(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    without_tls(context, found, ResourceKind::VirtualNode);
}

fn permissive(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for Socket { of, port, tls } in &context.sockets {
        if tls.is_none_or(|tls| tls.mode != TlsMode::Permissive) {
            continue;
        }
        // The outside clients of a gateway are unknown, so a gateway is never closed automatically.
        let safe = match of {
            ResourcePath::VirtualNode(_, name) => context.callers_use_tls(name, *port),
            _ => false,
        };
        let change = Change::SetListenerTlsMode { resource: of.clone(), port: *port, mode: TlsMode::Strict };
        let message = format!("listener {port} accepts plain text in addition to TLS");
        let facts = facts! {"port": port, "everyCallerUsesTls": safe};
        found.on_part(of.clone(), format!("listener {port}"), message, facts).remediation = safe.then_some(change);
    }
}

fn no_validation(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    if context.policy.tls.require < Protection::Mtls {
        return;
    }
    for Socket { of, port, tls } in &context.sockets {
        if tls.is_some_and(|tls| tls.validation.is_none() && tls.mode != TlsMode::Disabled) {
            let message = format!("listener {port} has TLS and requests no client certificate");
            found.on_part(of.clone(), format!("listener {port}"), message, facts! {"port": port});
        }
    }
}

fn port_left_out(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, node) in context.nodes() {
        for service in node.backend_services() {
            let tls = client_policy_for(node, service).and_then(|policy| policy.tls.as_ref());
            let Some(ports) = tls.and_then(|tls| tls.ports.as_deref()).filter(|ports| !ports.is_empty()) else {
                continue;
            };
            let out = context.listeners_behind(service).iter().map(|listener| listener.port_mapping.port);
            let mut out: Vec<Port> = out.filter(|port| !ports.contains(port)).collect();
            out.sort_unstable();
            out.dedup();
            if !out.is_empty() {
                let message = format!(
                    "its client policy is for ports {}, and {service} listens on {}",
                    listed(ports),
                    listed(&out)
                );
                let facts = facts! {"virtualService": service, "policyPorts": ports, "listenerPorts": out};
                found.on_part(context.node_path(name), format!("backend {service}"), message, facts);
            }
        }
    }
}

fn wildcard(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (path, backend, policy) in context.policies() {
        let Some(tls) = policy.tls.as_ref().filter(|tls| tls.enforce.unwrap_or(true)) else { continue };
        let names = tls.validation.subject_alternative_names.iter().flat_map(|names| &names.names.exact);
        let wild: Vec<&str> = names.map(Text::as_str).filter(|name| name.contains('*')).collect();
        if !wild.is_empty() {
            let message = format!("its enforced client policy names {}", wild.join(", "));
            found.on_part(path, backend.to_owned(), message, facts! {"names": wild});
        }
    }
}

impl RuleContext<'_> {
    /// Whether every listener that may receive calls of a virtual service has TLS.
    fn has_tls(&self, service: &mesh::name::VirtualServiceName) -> bool {
        let listeners = self.listeners_behind(service);
        let with_tls = |tls: &ListenerTls| matches!(tls.mode, TlsMode::Strict | TlsMode::Permissive);
        !listeners.is_empty() && listeners.iter().all(|listener| listener.tls.as_ref().is_some_and(with_tls))
    }

    /// Whether every virtual node and gateway that calls a listener uses TLS for it.
    fn callers_use_tls(&self, name: &mesh::name::VirtualNodeName, port: Port) -> bool {
        use mesh::graph::ServiceCaller;
        let Some(node) = self.mesh.nodes.get(name) else { return false };
        let Some(listener) = node.listeners().iter().find(|listener| listener.port_mapping.port == port) else {
            return false;
        };
        self.links.services_of_node(name).all(|service| {
            self.links.callers_of_service(service).all(|caller| {
                let policy = match caller {
                    ServiceCaller::VirtualNode(caller) => {
                        self.mesh.nodes.get(&caller).and_then(|node| client_policy_for(node, service))
                    }
                    ServiceCaller::VirtualGateway(caller) => {
                        let spec = self.mesh.gateways.get(&caller).and_then(|gateway| gateway.spec.as_ref());
                        let defaults = spec.and_then(|spec| spec.backend_defaults.as_ref());
                        defaults.and_then(|defaults| defaults.client_policy.as_ref())
                    }
                };
                !matches!(client_call(policy, listener), ClientCall::Plaintext)
            })
        })
    }
}
