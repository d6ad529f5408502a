//! Specs that use every member of their shapes, and edits that break, bend or extend them.

use mesh::name::ResourceKind;
use serde_json::{Value, json};

/// A spec for each form of each kind; together they have every member and every union member of the API model.
pub(crate) fn specs() -> Vec<(&'static str, ResourceKind, Value)> {
    use ResourceKind::{GatewayRoute, Mesh, Route, VirtualGateway, VirtualNode, VirtualRouter, VirtualService};
    macro_rules! spec {
        ($kind:ident, $file:literal) => {
            ($file, $kind, serde_json::from_str(include_str!(concat!("../specs/", $file, ".json"))).unwrap_or_default())
        };
    }
    vec![
        spec!(Mesh, "mesh"),
        spec!(VirtualNode, "virtual-node"),
        spec!(VirtualNode, "virtual-node-dns"),
        spec!(VirtualGateway, "virtual-gateway"),
        spec!(VirtualRouter, "virtual-router"),
        spec!(Route, "route-http"),
        spec!(Route, "route-http2"),
        spec!(Route, "route-grpc"),
        spec!(Route, "route-tcp"),
        spec!(VirtualService, "virtual-service-router"),
        spec!(VirtualService, "virtual-service-node"),
        spec!(GatewayRoute, "gateway-route-http"),
        spec!(GatewayRoute, "gateway-route-http2"),
        spec!(GatewayRoute, "gateway-route-grpc"),
    ]
}

/// An edit as two numbers, so that any generator can make one: where in the document, and what to do there.
pub(crate) type Edit = (u16, u8);

/// Makes edits one after another. None of them writes a `null`.
pub(crate) fn edit(mut document: Value, edits: &[Edit]) -> Value {
    for &(place, what) in edits {
        let mut place = usize::from(place) % size(&document);
        visit(&mut document, &mut place, what);
    }
    document
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum::<usize>(),
        Value::Object(members) => members.values().map(size).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Counts down to the place and edits there; says whether it did.
fn visit(value: &mut Value, place: &mut usize, what: u8) -> bool {
    if *place == 0 {
        replace(value, what);
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| visit(item, place, what)),
        Value::Object(members) => members.values_mut().any(|member| visit(member, place, what)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn replace(value: &mut Value, what: u8) {
    match (what % 16, value) {
        (0..=5, Value::Object(members)) => {
            members.insert(format!("new{what}"), json!({"deep": [1, {"x": null}], "text": "ü"}));
        }
        (6, Value::Object(members)) => {
            let first = members.keys().next().cloned();
            first.and_then(|name| members.shift_remove(&name));
        }
        (7, Value::Object(members)) => {
            members.insert("port".to_owned(), json!(what));
        }
        (0..=2, Value::String(text)) => text.push('x'),
        (0..=3, Value::Number(number)) => {
            *number = number.as_i64().map_or(0, |n| n.saturating_sub(1)).into();
        }
        (4, Value::Array(items)) => items.clear(),
        (5, Value::Array(items)) => items.extend(items.first().cloned()),
        (8, value) => *value = json!({}),
        (9, value) => *value = json!([]),
        (10, value) => *value = json!(""),
        (11, value) => *value = json!("/"),
        (12, value) => *value = json!(i64::MIN),
        (13, value) => *value = json!(u64::MAX),
        (14, value) => *value = json!(0.5),
        (_, value) => *value = json!(true),
    }
}
