//! A small shop mesh with one resource of every kind.

use serde_json::{Value, json};

use crate::client::Plane;

/// One resource: its collection, its name, and two specs.
pub(crate) struct Sample {
    pub(crate) kind: &'static str,
    pub(crate) collection: &'static str,
    pub(crate) name: &'static str,
    /// The path segment of the name, encoded.
    pub(crate) segment: &'static str,
    /// The member with the list in a list response.
    pub(crate) list_member: &'static str,
    /// The resource part of its ARN.
    pub(crate) path: &'static str,
    pub(crate) spec: Value,
    pub(crate) other_spec: Value,
}

impl Sample {
    pub(crate) fn name_member(&self) -> String {
        format!("{}Name", self.kind)
    }

    pub(crate) fn uri(&self) -> String {
        format!("{}/{}", self.collection, self.segment)
    }

    /// The body of its creation.
    pub(crate) fn body(&self) -> Value {
        json!({self.name_member(): self.name, "spec": self.spec})
    }
}

/// One resource of each kind, in an order in which they can be created.
pub(crate) fn samples() -> Vec<Sample> {
    let sample = |kind, collection, (name, segment), list_member, path, spec, other_spec| Sample {
        kind,
        collection,
        name,
        segment,
        list_member,
        path,
        spec,
        other_spec,
    };
    vec![
        sample(
            "mesh",
            "/meshes",
            ("shop", "shop"),
            "meshes",
            "mesh/shop",
            json!({"egressFilter": {"type": "DROP_ALL"}}),
            json!({"egressFilter": {"type": "ALLOW_ALL"}}),
        ),
        sample(
            "virtualNode",
            "/meshes/shop/virtualNodes",
            ("orders_v1", "orders_v1"),
            "virtualNodes",
            "mesh/shop/virtualNode/orders_v1",
            node("orders-v1.shop.local"),
            node("orders-v1.other.local"),
        ),
        sample(
            "virtualRouter",
            "/meshes/shop/virtualRouters",
            ("orders", "orders"),
            "virtualRouters",
            "mesh/shop/virtualRouter/orders",
            router(8080),
            router(8081),
        ),
        sample(
            "route",
            "/meshes/shop/virtualRouter/orders/routes",
            ("all", "all"),
            "routes",
            "mesh/shop/virtualRouter/orders/route/all",
            route("orders_v1", 100),
            route("orders_v1", 1),
        ),
        sample(
            "virtualService",
            "/meshes/shop/virtualServices",
            ("a b/orders.local", "a%20b%2Forders.local"),
            "virtualServices",
            "mesh/shop/virtualService/a b/orders.local",
            json!({"provider": {"virtualRouter": {"virtualRouterName": "orders"}}}),
            json!({}),
        ),
        sample(
            "virtualGateway",
            "/meshes/shop/virtualGateways",
            ("edge", "edge"),
            "virtualGateways",
            "mesh/shop/virtualGateway/edge",
            json!({"listeners": [{"portMapping": {"port": 8088, "protocol": "http"}}]}),
            json!({"listeners": [{"portMapping": {"port": 8089, "protocol": "http2"}}]}),
        ),
        sample(
            "gatewayRoute",
            "/meshes/shop/virtualGateway/edge/gatewayRoutes",
            ("orders", "orders"),
            "gatewayRoutes",
            "mesh/shop/virtualGateway/edge/gatewayRoute/orders",
            gateway_route("a b/orders.local", "/orders"),
            gateway_route("a b/orders.local", "/"),
        ),
    ]
}

/// Creates one resource of each kind.
pub(crate) async fn shop(plane: &Plane) {
    for sample in samples() {
        plane.put(sample.collection, sample.body()).await.ok();
    }
}

pub(crate) fn node(hostname: &str) -> Value {
    json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": hostname}},
        "backends": []
    })
}

pub(crate) fn router(port: u16) -> Value {
    json!({"listeners": [{"portMapping": {"port": port, "protocol": "http"}}]})
}

pub(crate) fn route(target: &str, weight: u8) -> Value {
    json!({
        "priority": 0,
        "httpRoute": {
            "match": {"prefix": "/", "headers": [{"name": "X-Testing1", "invert": false, "match": {"exact": "a"}}]},
            "action": {"weightedTargets": [{"virtualNode": target, "weight": weight}]},
            "retryPolicy": {
                "maxRetries": 0,
                "perRetryTimeout": {"unit": "ms", "value": 250_000},
                "httpRetryEvents": ["server-error", "gateway-error"]
            }
        }
    })
}

pub(crate) fn gateway_route(service: &str, prefix: &str) -> Value {
    json!({
        "httpRoute": {
            "match": {"prefix": prefix},
            "action": {"target": {"virtualService": {"virtualServiceName": service}}}
        }
    })
}
