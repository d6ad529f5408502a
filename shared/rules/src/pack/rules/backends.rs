//! The backends of virtual nodes.

use std::collections::{BTreeMap, BTreeSet};

use crate::pack::context::{RuleContext, grouped};
use crate::pack::controls::{CONFIGURATION, FLOWS};
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::{Links, Provider};
use mesh::name::{ResourceKind, VirtualServiceName};
use mesh::spec::{Port, Protocol, VirtualNodeSpec, VirtualRouterSpec};

const BACKEND: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Routing,
    severity: Severity::Low,
    on: &[ResourceKind::VirtualNode],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: CONFIGURATION,
    rests_on_certificates: false,
    check: twice,
};

/// Ports of protocols in which the server sends first.
const SERVER_FIRST: [(u16, &str); 7] =
    [(21, "FTP"), (25, "SMTP"), (110, "POP3"), (143, "IMAP"), (587, "SMTP"), (3306, "MySQL"), (5672, "AMQP")];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "backend-twice",
        title: "A virtual node names a backend twice",
        why: "Only one of the two client policies applies, and which one is not documented.",
        remedy: "Remove one of them.",
        check: twice,
        ..BACKEND
    },
    Rule {
        id: "backend-port-conflict",
        profile: Profile::Core,
        severity: Severity::High,
        title: "Two backends of a virtual node cannot share a port",
        why: "A proxy distinguishes backends on one port by the host name of the request. It cannot distinguish two \
              TCP backends on the same port, or TCP and HTTP: only one of them works, or the proxy refuses all.",
        remedy: "Call one of the services on another port: that of its router's listener.",
        check: port_conflict,
        ..BACKEND
    },
    Rule {
        id: "backend-server-speaks-first",
        severity: Severity::Medium,
        title: "A backend uses a protocol in which the server sends first",
        why: "The proxy waits for the client's first bytes to detect TLS. With a protocol such as MySQL or SMTP, where \
              the server sends a greeting first, both sides wait and the connection hangs.",
        remedy: "Call the service outside the mesh: exclude the port from the proxy, and declare no backend for it.",
        check: server_first,
        ..BACKEND
    },
    Rule {
        id: "node-calls-itself",
        profile: Profile::Strict,
        severity: Severity::Info,
        title: "Virtual nodes call each other in a cycle",
        why: "A call that returns to its origin can do so again: time limits and retries accumulate without bound, and \
              neither side can be started or moved first.",
        remedy: "Break the cycle, or make sure that such calls end: with a hop count, or with a queue in between.",
        controls: FLOWS,
        check: cycle,
        ..BACKEND
    },
];

fn twice(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (number, name, _) in context.numbered_nodes() {
        let mut backends = context.links.backends(number).to_vec();
        backends.sort_unstable();
        let again: BTreeSet<usize> =
            backends.windows(2).filter(|two| two.first() == two.last()).flatten().copied().collect();
        for service in again.into_iter().filter_map(|service| context.links.services.name(service)) {
            let message = format!("it names backend {service} more than once");
            found.on_part(
                context.node_path(name),
                format!("backend {service}"),
                message,
                facts! {"virtualService": service},
            );
        }
    }
}

/// By virtual service, the ports on which it is called, with their protocols: those of its router's listeners, or of
/// the node that provides it.
fn ports<'a>(links: &Links<'a>) -> Vec<Vec<(Port, &'a Protocol)>> {
    let of_service = |service: usize| match links.provider(service) {
        Some(Provider::Router(router)) => {
            let spec = links.routers.get(router).and_then(|router| router.spec.as_ref());
            let listeners = spec.map(VirtualRouterSpec::listeners).unwrap_or_default().iter();
            listeners.map(|listener| (listener.port_mapping.port, &listener.port_mapping.protocol)).collect()
        }
        Some(Provider::Node(node)) => {
            let listeners = links.nodes.get(node).map(VirtualNodeSpec::listeners).unwrap_or_default().iter();
            listeners.map(|listener| (listener.port_mapping.port, &listener.port_mapping.protocol)).collect()
        }
        None => Vec::new(),
    };
    (0..links.services.count()).map(of_service).collect()
}

/// The services that a virtual node calls, each once, with their ports.
fn called<'p>(
    links: &Links<'_>,
    ports: &'p [Vec<(Port, &'p Protocol)>],
    node: usize,
) -> Vec<(usize, &'p [(Port, &'p Protocol)])> {
    let mut services = links.backends(node).to_vec();
    services.sort_unstable();
    services.dedup();
    let ports_of = |service: usize| (service, ports.get(service).map(Vec::as_slice).unwrap_or_default());
    services.into_iter().map(ports_of).collect()
}

fn port_conflict(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let (links, ports) = (&context.links, ports(&context.links));
    let name_of = |service: usize| links.services.name(service).map(VirtualServiceName::as_str).unwrap_or_default();
    for (number, name, _) in context.numbered_nodes() {
        let called = called(links, &ports, number);
        // Services of HTTP can share a port, so a conflict needs a TCP port.
        let by_tcp = |(_, ports): &(usize, &[(Port, &Protocol)])| ports.iter().any(|(_, of)| **of == Protocol::Tcp);
        if called.len() < 2 || !called.iter().any(by_tcp) {
            continue;
        }
        let of_ports = called.iter().flat_map(|(service, ports)| {
            ports.iter().map(|(port, protocol)| (*port, (name_of(*service), protocol.as_str())))
        });
        for (port, users) in grouped(of_ports) {
            if users.len() > 1 && users.iter().any(|(_, protocol)| *protocol == Protocol::Tcp.as_str()) {
                let users: BTreeMap<&str, &str> = users.into_iter().collect();
                let listed: Vec<String> =
                    users.iter().map(|(service, protocol)| format!("{service} ({protocol})")).collect();
                let message = format!("on port {port} it calls {}", listed.join(" and "));
                let facts = facts! {"port": port, "backends": users};
                found.on_part(context.node_path(name), format!("port {port}"), message, facts);
            }
        }
    }
}

fn server_first(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let ports = ports(&context.links);
    let server_first_protocol = |port: &Port, protocol: &Protocol| {
        let known = SERVER_FIRST.iter().find(|(number, _)| *protocol == Protocol::Tcp && *number == port.get());
        known.map(|(_, spoken)| *spoken)
    };
    // Few services, if any, are on such a port.
    let sends_first: Vec<bool> =
        ports.iter().map(|ports| ports.iter().any(|(port, of)| server_first_protocol(port, of).is_some())).collect();
    for (number, name, _) in context.numbered_nodes() {
        if !context.links.backends(number).iter().any(|service| sends_first.get(*service) == Some(&true)) {
            continue;
        }
        for (service, ports) in called(&context.links, &ports, number) {
            let Some(service) = context.links.services.name(service) else { continue };
            for (port, protocol) in ports {
                let Some(spoken) = server_first_protocol(port, protocol) else { continue };
                let message = format!("its backend {service} on port {port} looks like {spoken}");
                let facts = facts! {"virtualService": service, "port": port, "protocol": spoken};
                found.on_part(context.node_path(name), format!("backend {service}"), message, facts);
            }
        }
    }
}

fn cycle(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for cycle in context.paths().cycles() {
        let Some(first) = cycle.first() else { continue };
        let names: Vec<&str> = cycle.iter().map(|node| node.as_str()).collect();
        let message = match names.as_slice() {
            [_] => "it calls itself".to_owned(),
            _ => format!("it is one of {} nodes that call each other in a circle: {}", names.len(), names.join(", ")),
        };
        found.on(context.node_path(first), message, facts! {"virtualNodes": names});
    }
}
