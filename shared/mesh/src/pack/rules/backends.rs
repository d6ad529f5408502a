//! What a virtual node names as its backends.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{ResourceKind, VirtualServiceName};
use crate::pack::controls::{CONFIGURATION, FLOWS};
use crate::pack::finding::{Found, facts};
use crate::pack::rule::{Group, Rule, Severity};
use crate::pack::scene::{Scene, grouped};
use crate::spec::{Port, Protocol, VirtualNodeSpec, VirtualRouterSpec};

const BACKEND: Rule = Rule {
    id: "",
    group: Group::Routing,
    severity: Severity::Low,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    mend: "",
    managed: &[],
    controls: CONFIGURATION,
    check: twice,
};

/// Ports whose protocols begin with a word of the server.
const SERVER_FIRST: [(u16, &str); 7] =
    [(21, "FTP"), (25, "SMTP"), (110, "POP3"), (143, "IMAP"), (587, "SMTP"), (3306, "MySQL"), (5672, "AMQP")];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "backend-twice",
        title: "A virtual node names a backend twice",
        why: "Only one of the two client policies holds, and it isn't documented which.",
        mend: "Take one of them off.",
        check: twice,
        ..BACKEND
    },
    Rule {
        id: "backend-port-conflict",
        severity: Severity::High,
        title: "Two backends of a virtual node can't share a port",
        why: "A proxy tells backends on one port apart by the host name of the request. Two TCP backends on the same \
              port can't be told apart, nor can TCP and HTTP: only one of them works, or the proxy refuses all.",
        mend: "Let one of the services be called on another port: that of its router's listener.",
        check: port_conflict,
        ..BACKEND
    },
    Rule {
        id: "backend-server-speaks-first",
        severity: Severity::Medium,
        title: "A backend speaks a protocol in which the server speaks first",
        why: "The proxy waits for the client's first bytes to see whether they are TLS. Where the server has to greet \
              first, as with MySQL or SMTP, both wait and the connection hangs.",
        mend: "Call the service past the mesh: ignore the port at the proxy, and declare nothing for it here.",
        check: server_first,
        ..BACKEND
    },
    Rule {
        id: "node-calls-itself",
        severity: Severity::Info,
        title: "Virtual nodes call each other in a circle",
        why: "A call that comes back to where it began can do so again: time limits and retries add up without bound, \
              and neither side can be started or moved first.",
        mend: "Break the circle, or make sure that such calls end: by a hop count, or by a queue in between.",
        controls: FLOWS,
        check: circle,
        ..BACKEND
    },
];

fn twice(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (name, node) in scene.nodes() {
        let mut seen: BTreeSet<&VirtualServiceName> = BTreeSet::new();
        let again: BTreeSet<_> = node.backend_services().filter(|service| !seen.insert(service)).collect();
        for service in again {
            let message = format!("it names backend {service} more than once");
            found.on_part(
                scene.node_path(name),
                format!("backend {service}"),
                message,
                facts! {"virtualService": service},
            );
        }
    }
}

/// The ports on which a virtual service is called, with what is spoken there: those of its router's listeners, or of
/// the node that provides it.
fn ports<'a>(scene: &Scene<'a>, service: &VirtualServiceName) -> Vec<(Port, &'a Protocol)> {
    if let Some((_, router)) = scene.router_of(service) {
        let listeners = router.spec.as_ref().map(VirtualRouterSpec::listeners).unwrap_or_default();
        return listeners
            .iter()
            .map(|listener| (listener.port_mapping.port, &listener.port_mapping.protocol))
            .collect();
    }
    let node = scene.direct_node_of(service).and_then(|node| scene.mesh.nodes.get(node));
    let listeners = node.map(VirtualNodeSpec::listeners).unwrap_or_default();
    listeners.iter().map(|listener| (listener.port_mapping.port, &listener.port_mapping.protocol)).collect()
}

fn port_conflict(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (name, node) in scene.nodes() {
        let services: BTreeSet<_> = node.backend_services().collect();
        if services.len() < 2 {
            continue;
        }
        let of_ports = services
            .iter()
            .flat_map(|service| ports(scene, service).into_iter().map(|(port, protocol)| (port, (*service, protocol))));
        for (port, users) in grouped(of_ports) {
            let tcp: Vec<_> = users.iter().filter(|(_, protocol)| **protocol == Protocol::Tcp).collect();
            if !tcp.is_empty() && users.len() > 1 {
                let users: BTreeMap<&str, &str> =
                    users.iter().map(|(service, protocol)| (service.as_str(), protocol.as_str())).collect();
                let listed: Vec<String> =
                    users.iter().map(|(service, protocol)| format!("{service} ({protocol})")).collect();
                let message = format!("on port {port} it calls {}", listed.join(" and "));
                let facts = facts! {"port": port, "backends": users};
                found.on_part(scene.node_path(name), format!("port {port}"), message, facts);
            }
        }
    }
}

fn server_first(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (name, node) in scene.nodes() {
        let services: BTreeSet<_> = node.backend_services().collect();
        for service in services {
            for (port, protocol) in ports(scene, service) {
                let known = SERVER_FIRST.iter().find(|(number, _)| *number == port.get());
                let Some((_, spoken)) = known.filter(|_| *protocol == Protocol::Tcp) else { continue };
                let message = format!("its backend {service} on port {port} looks like {spoken}");
                let facts = facts! {"virtualService": service, "port": port, "protocol": spoken};
                found.on_part(scene.node_path(name), format!("backend {service}"), message, facts);
            }
        }
    }
}

fn circle(scene: &Scene<'_>, found: &mut Found<'_>) {
    for circle in scene.paths().circles() {
        let Some(first) = circle.first() else { continue };
        let names: Vec<&str> = circle.iter().map(|node| node.as_str()).collect();
        let message = match names.as_slice() {
            [_] => "it calls itself".to_owned(),
            _ => format!("it is one of {} nodes that call each other in a circle: {}", names.len(), names.join(", ")),
        };
        found.on(scene.node_path(first), message, facts! {"virtualNodes": names});
    }
}
