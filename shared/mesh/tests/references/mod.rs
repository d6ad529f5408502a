//! Minimal specs with references, for the suites of validation and admission.

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::spec::Spec;
use mesh::validate;
use serde_json::{Value, json};

pub(crate) fn mesh_of(resources: &[(&str, Value)]) -> Mesh {
    let mut mesh = Mesh::new("shop".parse().unwrap());
    for (name, spec) in resources {
        put(&mut mesh, name, spec);
    }
    mesh
}

pub(crate) fn put(mesh: &mut Mesh, name: &str, spec: &Value) {
    let (path, spec) = read(name, spec);
    mesh.insert(path, spec).unwrap();
}

pub(crate) fn read(name: &str, spec: &Value) -> (ResourcePath, Spec) {
    let path = ResourcePath::parse(&format!("mesh/shop/{name}")).unwrap();
    let spec = validate::parse(path.kind(), spec).unwrap();
    (path, spec)
}

pub(crate) fn listeners(of: &[(u16, &str)]) -> Value {
    of.iter().map(|(port, protocol)| json!({"portMapping": {"port": port, "protocol": protocol}})).collect()
}

pub(crate) fn node(of: &[(u16, &str)]) -> Value {
    json!({"listeners": listeners(of), "serviceDiscovery": {"dns": {"hostname": "n.local"}}})
}

pub(crate) fn router(of: &[(u16, &str)]) -> Value {
    json!({"listeners": listeners(of)})
}

pub(crate) fn route(kind: &str, targets: &[(&str, Option<u16>)], port: Option<u16>) -> Value {
    let target = |(node, port): &(&str, Option<u16>)| json!({"virtualNode": node, "weight": 1, "port": port});
    let targets: Vec<Value> = targets.iter().map(target).collect();
    json!({kind: {"match": matches(kind, port), "action": {"weightedTargets": targets}}})
}

fn matches(kind: &str, port: Option<u16>) -> Value {
    match kind {
        "httpRoute" | "http2Route" => json!({"prefix": "/", "port": port}),
        _ => json!({"port": port}),
    }
}

pub(crate) fn gateway_route(service: &str, port: Option<u16>, target_port: Option<u16>) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": service}, "port": target_port});
    json!({"httpRoute": {"match": matches("httpRoute", port), "action": {"target": target}}})
}
