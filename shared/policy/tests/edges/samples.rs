//! A caller, `web`, that calls `orders.local`, and what it finds there.

use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::spec::Spec;
use policy::edges::{Edge, edges};
use serde_json::{Value, json};

use super::authority::now;

pub(super) const CERTIFICATE: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/orders";
pub(super) const AUTHORITY: &str = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/root";

pub(super) fn mesh(resources: &[(&str, Value)]) -> Mesh {
    let mut mesh = Mesh::new("m".parse().unwrap());
    for (path, spec) in resources {
        let path = ResourcePath::parse(&format!("mesh/m/{path}")).unwrap();
        let spec = Spec::read(path.kind(), spec).unwrap_or_else(|violations| panic!("{path}: {violations:?}"));
        mesh.insert(path, spec).unwrap();
    }
    mesh
}

/// `web` with a client policy, towards `orders` with a listener's TLS; null is none.
pub(super) fn pair(policy: &Value, tls: &Value) -> Mesh {
    let mut backend = json!({"virtualServiceName": "orders.local"});
    if !policy.is_null() {
        backend["clientPolicy"] = json!({"tls": policy});
    }
    let mut listener = json!({"portMapping": {"port": 8080, "protocol": "http"}});
    if !tls.is_null() {
        listener["tls"] = tls.clone();
    }
    let discovery = json!({"awsCloudMap": {"serviceName": "orders", "namespaceName": "shop.local"}});
    mesh(&[
        ("virtualNode/web", json!({"backends": [{"virtualService": backend}]})),
        ("virtualNode/orders", json!({"listeners": [listener], "serviceDiscovery": discovery})),
        ("virtualService/orders.local", json!({"provider": {"virtualNode": {"virtualNodeName": "orders"}}})),
    ])
}

pub(super) fn one_edge(mesh: &Mesh, readings: &Readings) -> Edge {
    let mut all = edges(mesh, readings, now());
    assert_eq!(all.len(), 1, "{all:?}");
    all.swap_remove(0)
}

pub(super) fn acm() -> Value {
    json!({"acm": {"certificateArn": CERTIFICATE}})
}

pub(super) fn trust(arn: &str) -> Value {
    json!({"trust": {"acm": {"certificateAuthorityArns": [arn]}}})
}

/// The verdict's tag, with the reason where there is one.
pub(super) fn verdict_text(edge: &Edge) -> String {
    let json = serde_json::to_value(edge).unwrap();
    let tag = |key: &str| json[key].as_str().map(str::to_owned);
    [tag("verdict"), tag("reason")].into_iter().flatten().collect::<Vec<_>>().join(" ")
}
