//! Listeners on a port of another protocol.

use std::collections::{BTreeMap, BTreeSet};

use crate::pack::context::RuleContext;
use crate::pack::controls::ENCRYPTION;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::{ResourceKind, VirtualNodeName};
use mesh::spec::{Listener, Port, Protocol, TlsMode};
use policy::edges::TlsVerdict;

/// Ports on which servers expect HTTP within TLS, and no plain text.
const WITHIN_TLS: [(u16, &str); 9] = [
    (443, "HTTPS"),
    (465, "SMTPS"),
    (636, "LDAPS"),
    (993, "IMAPS"),
    (995, "POP3S"),
    (5671, "AMQPS"),
    (8443, "HTTPS"),
    (8883, "MQTT over TLS"),
    (9443, "HTTPS"),
];

/// Ports of protocols other than HTTP.
const NOT_HTTP: [(u16, &str); 24] = [
    (21, "FTP"),
    (22, "SSH"),
    (25, "SMTP"),
    (53, "DNS"),
    (110, "POP3"),
    (143, "IMAP"),
    (389, "LDAP"),
    (587, "SMTP"),
    (1433, "SQL Server"),
    (1521, "Oracle"),
    (1883, "MQTT"),
    (2049, "NFS"),
    (2181, "ZooKeeper"),
    (3306, "MySQL"),
    (4222, "NATS"),
    (5432, "PostgreSQL"),
    (5439, "Redshift"),
    (5672, "AMQP"),
    (6379, "Redis"),
    (6380, "Redis over TLS"),
    (9042, "Cassandra"),
    (9092, "Kafka"),
    (11211, "memcached"),
    (27017, "MongoDB"),
];

pub(super) const RULES: &[Rule] = &[Rule {
    id: "listener-protocol-unlike-port",
    profile: Profile::Core,
    group: Group::Routing,
    severity: Severity::High,
    on: &[ResourceKind::VirtualNode],
    title: "A listener uses plain HTTP on a port of another protocol",
    why: "On ports such as 443 a server expects TLS, on 5432, 3306 or 6379 a database answers. The proxy sends HTTP in \
          plain text, and the call fails (clients report `wrong version number`). Declaring an external HTTPS API this \
          way is a common mistake: traffic that the application encrypts is TCP for the proxy.",
    remedy: "If the application itself uses TLS or a protocol other than HTTP, set the protocol to `tcp`. If the proxy \
           should use TLS, give every caller an enforced client policy, or the listener TLS.",
    managed: &[],
    controls: ENCRYPTION,
    rests_on_certificates: false,
    check: unlike_port,
}];

/// The number of encrypted and plain-text calls of a listener.
#[derive(Default)]
struct Calls<'a> {
    plain: BTreeSet<&'a str>,
    encrypted: usize,
}

fn unlike_port(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let mut calls: BTreeMap<(&VirtualNodeName, Port), Calls<'_>> = BTreeMap::new();
    for edge in context.edges() {
        let Some(port) = edge.port else { continue };
        let of_listener = calls.entry((edge.to, port)).or_default();
        match edge.verdict {
            TlsVerdict::Plaintext => drop(of_listener.plain.insert(edge.from.name())),
            TlsVerdict::Tls | TlsVerdict::Mtls => of_listener.encrypted += 1,
            TlsVerdict::Broken(_) => {}
        }
    }
    for (name, node) in context.nodes() {
        for listener in node.listeners() {
            let port = listener.port_mapping.port;
            let Some((usual, within_tls)) = usual(listener) else { continue };
            let calls = calls.get(&(name, port));
            let plain: Vec<&str> = calls.iter().flat_map(|calls| calls.plain.iter().copied()).collect();
            // If every caller uses TLS, the port has the usual protocol.
            if within_tls && plain.is_empty() && calls.is_some_and(|calls| calls.encrypted > 0) {
                continue;
            }
            let protocol = &listener.port_mapping.protocol;
            let by =
                if plain.is_empty() { String::new() } else { format!("; so it is called by {}", plain.join(", ")) };
            let message = format!("listener {port} uses {protocol} in plain text, and port {port} is for {usual}{by}");
            let facts = facts! {"port": port, "protocol": protocol, "usual": usual, "callers": plain};
            found.on_part(context.node_path(name), format!("listener {port}"), message, facts);
        }
    }
}

/// The usual protocol on the port of a plain-text listener for requests, and whether it is HTTP within TLS.
fn usual(listener: &Listener) -> Option<(&'static str, bool)> {
    match listener.port_mapping.protocol {
        Protocol::Http | Protocol::Http2 | Protocol::Grpc => {}
        Protocol::Tcp | Protocol::Unrecognised(_) => return None,
    }
    if listener.tls.as_ref().is_some_and(|tls| tls.mode != TlsMode::Disabled) {
        return None;
    }
    let port = listener.port_mapping.port.get();
    let named = |table: &[(u16, &'static str)]| table.iter().find(|(known, _)| *known == port).map(|(_, name)| *name);
    named(&WITHIN_TLS).map(|name| (name, true)).or_else(|| named(&NOT_HTTP).map(|name| (name, false)))
}
