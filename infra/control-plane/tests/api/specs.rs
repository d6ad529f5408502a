//! Validation and storage of specs.

use serde_json::{Value, json};

use crate::client::Plane;
use crate::fixture::shop;

const NODES: &str = "/meshes/shop/virtualNodes";

fn check(port: Option<u16>) -> Value {
    let mut check = json!({
        "protocol": "http", "path": "/", "healthyThreshold": 2, "unhealthyThreshold": 2,
        "timeoutMillis": 2000, "intervalMillis": 5000
    });
    if let Some(port) = port {
        check["port"] = port.into();
    }
    check
}

#[tokio::test]
async fn only_the_port_of_a_health_check_is_filled_in() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let spec = |port| {
        json!({
            "listeners": [
                {"portMapping": {"port": 8080, "protocol": "http"}, "healthCheck": check(port)},
                {"portMapping": {"port": 8081, "protocol": "http"}}
            ],
            "serviceDiscovery": {"dns": {"hostname": "n.local"}}
        })
    };
    let body = json!({"virtualNodeName": "n", "spec": spec(None)});
    let created = plane.put(NODES, body).await.ok();
    assert_eq!(created["spec"], spec(Some(8080)));
    let updated = plane.put(&format!("{NODES}/n"), json!({"spec": spec(Some(8080))})).await.ok();
    assert_eq!(updated["spec"], spec(Some(8080)));

    let spec =
        |port| json!({"listeners": [{"portMapping": {"port": 9000, "protocol": "http"}, "healthCheck": check(port)}]});
    let body = json!({"virtualGatewayName": "g", "spec": spec(None)});
    let created = plane.put("/meshes/shop/virtualGateways", body).await.ok();
    assert_eq!(created["spec"], spec(Some(9000)));
}

#[tokio::test]
async fn members_that_are_null_are_absent() {
    let plane = Plane::start().await;
    let body = json!({"meshName": "m", "clientToken": null, "tags": null,
        "spec": {"egressFilter": {"type": "DROP_ALL"}, "serviceDiscovery": null}});
    let created = plane.put("/meshes", body).await.ok();
    assert_eq!(created["spec"], json!({"egressFilter": {"type": "DROP_ALL"}}));
}

#[tokio::test]
async fn an_invalid_spec_is_refused_with_the_member() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for (uri, spec, says) in [
        ("/meshes/shop", json!({"egressFilter": {"type": "SOME"}}), "egressFilter"),
        ("/meshes/shop", json!({"egress": {}}), "egress"),
        ("/meshes/shop/virtualNodes/orders_v1", json!({"listeners": [{}]}), "portMapping"),
        (
            "/meshes/shop/virtualNodes/orders_v1",
            json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "udp"}}],
                "serviceDiscovery": {"dns": {"hostname": "n"}}}),
            "protocol",
        ),
        (
            "/meshes/shop/virtualNodes/orders_v1",
            json!({"serviceDiscovery": {"dns": {"hostname": "n"}, "ipPreference": "IPv4_ONLY"}}),
            "ipPreference",
        ),
        (
            "/meshes/shop/virtualRouter/orders/routes/all",
            json!({"httpRoute": {"match": {"prefix": "/"},
                "action": {"weightedTargets": [{"virtualNode": "orders_v1", "weight": 200}]}}}),
            "weight",
        ),
        ("/meshes/shop/virtualRouter/orders/routes/all", json!({"priority": 1}), "httpRoute"),
        ("/meshes/shop/virtualGateways/edge", json!({}), "listeners"),
    ] {
        let message = plane.put(uri, json!({"spec": spec})).await.error("BadRequestException");
        assert!(message.contains(says), "{spec}: {message}");
        assert_eq!(plane.get(uri).await.ok()["metadata"]["version"], 1);
    }
}
