//! Minimal samples of each shape, which the rows of the tables vary.

use mesh::name::ResourceKind;
use mesh::validate;
use serde_json::{Value, json};

pub(super) fn refused(table: &[(ResourceKind, Value, &str)]) {
    for (kind, spec, path) in table {
        let violations = validate::spec(*kind, spec).expect_err(path);
        let paths: Vec<_> = violations.iter().map(|violation| violation.path.as_str()).collect();
        assert!(paths.contains(path), "{path} is not among {paths:?} for {spec}");
    }
}

pub(super) fn port(port: u32, protocol: &str) -> Value {
    json!({"port": port, "protocol": protocol})
}

pub(super) fn node(listener: &Value) -> Value {
    json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "orders.local"}}})
}

pub(super) fn check(protocol: &str, more: &Value) -> Value {
    let mut check = json!({"healthyThreshold": 2, "intervalMillis": 5_000, "protocol": protocol, "timeoutMillis": 2_000, "unhealthyThreshold": 10});
    check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    check
}

pub(super) fn client_tls(tls: &Value) -> Value {
    json!({"backendDefaults": {"clientPolicy": {"tls": tls}}})
}

pub(super) fn target(weight: i64) -> Value {
    json!({"virtualNode": "orders", "weight": weight})
}

pub(super) fn http_route(matches: &Value, targets: &Value) -> Value {
    json!({"httpRoute": {"match": matches, "action": {"weightedTargets": targets}}})
}

pub(super) fn gateway_route(matches: &Value, rewrite: &Value) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": "orders.local"}});
    json!({"httpRoute": {"match": matches, "action": {"rewrite": rewrite, "target": target}}})
}
