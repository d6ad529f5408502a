//! Meshes from lines: `node a 80/http`, with the rest of each spec as short as it can be.

use mesh::graph::Mesh;
use mesh::name::{ResourcePath, RouteId, VirtualNodeName};
use mesh::spec::Spec;
use serde_json::{Value, json};

/// Reads a mesh called `m`, a resource a line:
///
/// - `node NAME [PORT/PROTOCOL[/TLSMODE] ...] [> SERVICE ...]` with listeners and backends,
/// - `service NAME [node NAME | router NAME]`,
/// - `router NAME [PORT/PROTOCOL ...]`,
/// - `route ROUTER/NAME KIND JSON-MATCH NODE[@PORT]:WEIGHT ... [priority N]`,
/// - `gateway NAME`, `gateway-route GATEWAY/NAME SERVICE`.
pub(super) fn mesh(lines: &[&str]) -> Mesh {
    let mut mesh = Mesh::new("m".parse().unwrap());
    for line in lines {
        let (path, spec) = resource(&line.split_whitespace().collect::<Vec<_>>());
        let path = ResourcePath::parse(&format!("mesh/m/{path}")).unwrap();
        let spec = Spec::read(path.kind(), &spec).unwrap_or_else(|violations| panic!("{line}: {violations:?}"));
        mesh.insert(path, spec).unwrap();
    }
    mesh
}

fn resource(words: &[&str]) -> (String, Value) {
    match words {
        ["node", name, rest @ ..] => (format!("virtualNode/{name}"), node(rest)),
        ["service", name] => (format!("virtualService/{name}"), json!({})),
        ["service", name, "node", node] => {
            (format!("virtualService/{name}"), json!({"provider": {"virtualNode": {"virtualNodeName": node}}}))
        }
        ["service", name, "router", router] => {
            (format!("virtualService/{name}"), json!({"provider": {"virtualRouter": {"virtualRouterName": router}}}))
        }
        ["router", name, listeners @ ..] => {
            let listeners: Vec<Value> = listeners.iter().map(|listener| listener_of(listener)).collect();
            (format!("virtualRouter/{name}"), json!({"listeners": listeners}))
        }
        ["route", name, kind, matches, rest @ ..] => {
            let (router, name) = name.split_once('/').unwrap();
            (format!("virtualRouter/{router}/route/{name}"), route(kind, matches, rest))
        }
        ["gateway", name] => (format!("virtualGateway/{name}"), json!({"listeners": []})),
        ["gateway-route", name, service] => {
            let (gateway, name) = name.split_once('/').unwrap();
            let target = json!({"virtualService": {"virtualServiceName": service}});
            let spec = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": target}}});
            (format!("virtualGateway/{gateway}/gatewayRoute/{name}"), spec)
        }
        other => panic!("{other:?} is not a resource"),
    }
}

fn node(words: &[&str]) -> Value {
    let mut parts = words.split(|word| *word == ">");
    let listeners: Vec<Value> = parts.next().unwrap_or_default().iter().map(|word| listener_of(word)).collect();
    let backends = parts.next().unwrap_or_default().iter();
    let backends: Vec<Value> = backends.map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
    json!({"listeners": listeners, "backends": backends})
}

fn listener_of(word: &str) -> Value {
    match word.split('/').collect::<Vec<_>>().as_slice() {
        [port, protocol] => {
            json!({"portMapping": {"port": port.parse::<u16>().unwrap(), "protocol": protocol}})
        }
        [port, protocol, mode] => json!({
            "portMapping": {"port": port.parse::<u16>().unwrap(), "protocol": protocol},
            "tls": {"mode": mode, "certificate": {"sds": {"secretName": "s"}}},
        }),
        _ => panic!("{word} is not a listener"),
    }
}

fn route(kind: &str, matches: &str, words: &[&str]) -> Value {
    let mut parts = words.split(|word| *word == "priority");
    let targets: Vec<Value> = parts.next().unwrap_or_default().iter().map(|word| target(word)).collect();
    let mut spec = json!({kind: {
        "match": serde_json::from_str::<Value>(matches).unwrap(),
        "action": {"weightedTargets": targets},
    }});
    if let Some([priority]) = parts.next() {
        spec["priority"] = json!(priority.parse::<u16>().unwrap());
    }
    spec
}

fn target(word: &str) -> Value {
    let (node, weight) = word.split_once(':').unwrap();
    let weight: u8 = weight.parse().unwrap();
    match node.split_once('@') {
        Some((node, port)) => {
            json!({"virtualNode": node, "weight": weight, "port": port.parse::<u16>().unwrap()})
        }
        None => json!({"virtualNode": node, "weight": weight}),
    }
}

pub(super) fn id(text: &str) -> RouteId {
    RouteId::parse(&format!("m/{text}")).unwrap()
}

pub(super) fn name(text: &str) -> VirtualNodeName {
    VirtualNodeName::parse(text).unwrap()
}
