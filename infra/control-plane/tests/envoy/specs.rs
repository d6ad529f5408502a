//! Builders of specs for tests.

use serde_json::{Value, json};

/// A node that listens on 8080 and has these backends.
pub(crate) fn node(protocol: &str, backends: &[&str]) -> Value {
    let backends: Vec<Value> =
        backends.iter().map(|service| json!({"virtualService": {"virtualServiceName": service}})).collect();
    json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": protocol}}],
        "serviceDiscovery": {"dns": {"hostname": "node.shop.local"}},
        "backends": backends,
    })
}

/// A node without listeners.
pub(crate) fn client(backends: &[&str]) -> Value {
    let mut spec = node("http", backends);
    spec.as_object_mut().unwrap().remove("listeners");
    spec
}

/// Weighted targets.
pub(crate) fn action(targets: &[(&str, u8)]) -> Value {
    let targets: Vec<Value> =
        targets.iter().map(|(node, weight)| json!({"virtualNode": node, "weight": weight})).collect();
    json!({"weightedTargets": targets})
}

/// A route that matches everything.
pub(crate) fn route(kind: &str, targets: &[(&str, u8)]) -> Value {
    json!({kind: {"match": {"prefix": "/"}, "action": action(targets)}})
}

/// A spec with a value set at a path of members, which are created if missing.
pub(crate) fn with(mut spec: Value, path: &[&str], value: Value) -> Value {
    let mut target = &mut spec;
    for member in path {
        target = match member.parse::<usize>() {
            Ok(index) => &mut target[index],
            Err(_) => &mut target[*member],
        };
    }
    *target = value;
    spec
}
