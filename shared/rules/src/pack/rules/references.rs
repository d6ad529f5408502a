//! References to missing resources, and specs that the API would refuse.

use crate::pack::context::RuleContext;
use crate::pack::controls::CONFIGURATION;
use crate::pack::finding::{RuleFindings, facts, listed};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::dangling_along;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::traffic::{Landing, understands};
use mesh::validate::{self, BrokenUse, Owner, Refusal, Violation};

const REFERENCE: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Routing,
    severity: Severity::High,
    on: &ResourceKind::ALL,
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: CONFIGURATION,
    rests_on_certificates: false,
    check: leads_nowhere,
};

const ROUTES: &[ResourceKind] = &[ResourceKind::Route];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "reference-dangling",
        profile: Profile::Core,
        title: "A resource refers to one that does not exist",
        why: "A backend, a provider, a weighted target, or the target of a gateway route names a resource that is not \
              in the mesh. Requests for it get 404 or 503. The API accepts backends that do not exist; other \
              references dangle after a deletion.",
        remedy: "Create the missing resource, or remove the reference. Neither is automatic, since the missing resource \
               may be about to be created.",
        check: leads_nowhere,
        ..REFERENCE
    },
    Rule {
        id: "route-target-not-listening",
        profile: Profile::Core,
        on: ROUTES,
        title: "A route sends traffic to a port on which its target does not listen",
        why: "The node has no listener, none on the port that the route names, or several while the route names none. \
              The App Mesh API refuses such a route. Connections of an existing one are refused.",
        remedy: "Name the port of a listener in the weighted target.",
        check: not_listening,
        ..REFERENCE
    },
    Rule {
        id: "route-target-other-protocol",
        profile: Profile::Core,
        on: ROUTES,
        title: "A route sends traffic to a listener of an incompatible protocol",
        why: "HTTP/1.1 and HTTP/2 are translated into each other; gRPC needs HTTP/2, and TCP needs a TCP listener.",
        remedy: "Give the route the kind of its targets' listeners, or the listener the protocol of the route.",
        check: other_protocol,
        ..REFERENCE
    },
    Rule {
        id: "spec-refused",
        profile: Profile::Core,
        on: &ResourceKind::ALL,
        title: "The API would refuse the spec",
        why: "The document breaks a rule of the App Mesh API: a bound, a value that is not in the enumeration, a rule \
              between its members, or between it and the listeners that it reaches. Or Envoy would refuse it and keep \
              its last good configuration. In a file, the deployment would fail. In a mesh, it comes from a server with \
              fewer checks.",
        remedy: "Change the member that the finding names.",
        check: refused,
        ..REFERENCE
    },
];

fn leads_nowhere(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for reference in dangling_along(context.mesh, &context.links) {
        let (kind, name) = (reference.to.kind(), reference.to.name());
        let message = format!("it refers to {} {name}, which doesn't exist", kind.words());
        let facts = facts! {"to": reference.to};
        found.on_part(reference.from.clone(), format!("{kind} {name}"), message, facts);
    }
}

fn not_listening(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (route, flows) in context.flows() {
        for flow in flows {
            let (node, node_spec) = match flow.landing {
                Landing::NoListener(spec) | Landing::Ambiguous(spec) => (flow.virtual_node, spec),
                Landing::Listener(_) | Landing::NoNode => continue,
            };
            let ports: Vec<_> = node_spec.listeners().iter().map(|listener| listener.port_mapping.port).collect();
            let wants = flow.port.map_or("no port".to_owned(), |port| format!("port {port}"));
            let listens = if ports.is_empty() { "on none".to_owned() } else { format!("on {}", listed(&ports)) };
            let message = format!("its target {node} is named with {wants}, and listens {listens}");
            let part = flow.port.map_or(format!("target {node}"), |port| format!("target {node}@{port}"));
            let facts = facts! {"virtualNode": node, "port": flow.port, "listeners": ports};
            found.on_part(ResourcePath::Route(route.id.clone()), part, message, facts);
        }
    }
}

fn other_protocol(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (route, flows) in context.flows() {
        for flow in flows {
            let Landing::Listener(listener) = flow.landing else { continue };
            if understands(listener, &route.spec.rule) {
                continue;
            }
            let (node, mapping) = (flow.virtual_node, &listener.port_mapping);
            let kind = route.spec.rule.member().unwrap_or_default();
            let message =
                format!("a {kind} does not fit listener {} of {node}, which uses {}", mapping.port, mapping.protocol);
            let part = format!("target {node}@{}", mapping.port);
            let facts = facts! {"kind": kind, "virtualNode": node, "port": mapping.port, "protocol": mapping.protocol};
            found.on_part(ResourcePath::Route(route.id.clone()), part, message, facts);
        }
    }
}

/// Whether another rule covers a refusal of the API, so that one defect is one finding.
const fn has_rule_of_its_own(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        // `health-check-grpc-without-http2`
        Refusal::HealthCheckWithoutHttp2 { .. }
        // `route-target-not-listening`
            | Refusal::PortNotListening { owner: Owner::Node, .. }
            | Refusal::PortRequired { owner: Owner::Node, .. }
    )
}

fn refused(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let mut report = |path: ResourcePath, violations: Vec<Violation>| {
        for violation in violations {
            report_refusal(found, path.clone(), violation, None);
        }
    };
    if let Some(spec) = &context.mesh.spec {
        report(context.mesh_path(), spec.unknown());
    }
    for (name, spec) in context.nodes() {
        report(context.node_path(name), [spec.unknown(), validate::rules_of_node(spec)].concat());
    }
    for (name, spec) in context.gateways() {
        report(context.gateway_path(name), [spec.unknown(), validate::rules_of_gateway(spec)].concat());
    }
    for (name, router) in context.routers() {
        if let Some(spec) = &router.spec {
            report(context.router_path(name), [spec.unknown(), validate::rules_of_router(spec)].concat());
        }
    }
    for (router, name, spec) in context.routes() {
        report(context.route_path(router, name), [spec.unknown(), validate::rules_of_route(spec)].concat());
    }
    for (name, spec) in &context.mesh.services {
        report(context.service_path(name), spec.unknown());
    }
    for (gateway, name, spec) in context.gateway_routes() {
        let violations = [spec.unknown(), validate::rules_of_gateway_route(spec)].concat();
        report(context.gateway_route_path(gateway, name), violations);
    }
    for BrokenUse { by, owner, violation } in validate::broken_uses(context.mesh) {
        report_refusal(found, by, violation, owner.as_ref());
    }
}

/// Reports a refusal. `owner` is the resource with the listeners that the refused member does not fit.
fn report_refusal(
    found: &mut RuleFindings<'_>,
    path: ResourcePath,
    violation: Violation,
    owner: Option<&ResourcePath>,
) {
    if has_rule_of_its_own(&violation.refusal) {
        return;
    }
    let text = violation.to_string();
    let mut facts = facts! {"member": violation.path, "code": violation.refusal.code(), "violations": [&text]};
    if let Some(owner) = owner {
        facts.insert("listenersOf".into(), owner.to_string().into());
    }
    found.on_part(path, violation.path, text, facts);
}
