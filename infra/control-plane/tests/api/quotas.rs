//! Service quotas.

use control_plane::QuotaPreset;
use serde_json::{Value, json};

use crate::client::Plane;
use crate::fixture::{gateway_route, node, route, router, samples, shop};

#[tokio::test]
async fn a_collection_is_limited_to_its_quota() {
    for (quota, at) in [
        ("meshes-per-account", 0),
        ("virtual-nodes-per-mesh", 1),
        ("virtual-routers-per-mesh", 2),
        ("routes-per-virtual-router", 3),
        ("virtual-services-per-mesh", 4),
        ("virtual-gateways-per-mesh", 5),
        ("gateway-routes-per-virtual-gateway", 6),
    ] {
        let plane = Plane::with(&[&format!("{quota}=2")]).await;
        shop(&plane).await;
        let samples = samples();
        let sample = &samples[at];
        let named = |name: &str| {
            let mut body = sample.body();
            body[sample.name_member()] = name.into();
            body
        };
        plane.put(sample.collection, named("second")).await.ok();
        let message = plane.put(sample.collection, named("third")).await.error("LimitExceededException");
        assert!(message.contains(quota) && message.contains('2'), "{message}");
        plane.put(sample.collection, named("second")).await.error("ConflictException");
        plane.delete(&format!("{}/second", sample.collection)).await.ok();
        plane.put(sample.collection, named("third")).await.ok();
    }
}

#[tokio::test]
async fn a_quota_counts_within_one_parent() {
    let plane = Plane::with(&["routes-per-virtual-router=1", "virtual-nodes-per-mesh=1"]).await;
    shop(&plane).await;
    plane.put("/meshes", json!({"meshName": "other"})).await.ok();
    let body = json!({"virtualNodeName": "n", "spec": {}});
    plane.put("/meshes/other/virtualNodes", body).await.ok();
    let body = json!({"virtualRouterName": "stock", "spec": router(8080)});
    plane.put("/meshes/shop/virtualRouters", body).await.ok();
    let body = json!({"routeName": "all", "spec": route("orders_v1", 1)});
    plane.put("/meshes/shop/virtualRouter/stock/routes", body).await.ok();
}

#[tokio::test]
async fn there_are_no_quotas_by_default() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for n in 2..=16 {
        plane.put("/meshes", json!({"meshName": format!("m{n}")})).await.ok();
    }
    for n in 2..=11 {
        let body = json!({"gatewayRouteName": format!("g{n}"), "spec": gateway_route("a b/orders.local", "/")});
        plane.put("/meshes/shop/virtualGateway/edge/gatewayRoutes", body).await.ok();
    }
    let body = json!({"virtualNodeName": "o", "spec": with_backends(51)});
    plane.put("/meshes/shop/virtualNodes", body).await.ok();
}

#[tokio::test]
async fn preset_aws_has_the_quotas_of_the_service() {
    let plane = Plane::with_preset(QuotaPreset::Aws, &[]).await;
    shop(&plane).await;
    for n in 2..=15 {
        plane.put("/meshes", json!({"meshName": format!("m{n}")})).await.ok();
    }
    plane.put("/meshes", json!({"meshName": "one-more"})).await.error("LimitExceededException");
    for n in 2..=10 {
        let body = json!({"gatewayRouteName": format!("g{n}"), "spec": gateway_route("a b/orders.local", "/")});
        plane.put("/meshes/shop/virtualGateway/edge/gatewayRoutes", body).await.ok();
    }
    let body = json!({"gatewayRouteName": "one-more", "spec": gateway_route("a b/orders.local", "/")});
    let uri = "/meshes/shop/virtualGateway/edge/gatewayRoutes";
    plane.put(uri, body).await.error("LimitExceededException");
}

fn with_backends(count: usize) -> Value {
    let mut spec = node("orders.shop.local");
    spec["backends"] =
        (0..count).map(|n| json!({"virtualService": {"virtualServiceName": format!("s{n}.local")}})).collect();
    spec
}

#[tokio::test]
async fn the_parts_of_a_spec_are_counted_at_creation_and_update() {
    let plane = Plane::with(&["weighted-targets-per-route=1", "backends-per-virtual-node=50"]).await;
    shop(&plane).await;
    let nodes = "/meshes/shop/virtualNodes";
    plane.put(nodes, json!({"virtualNodeName": "n", "spec": with_backends(50)})).await.ok();
    let over = with_backends(51);
    let body = json!({"virtualNodeName": "o", "spec": over});
    let message = plane.put(nodes, body).await.error("LimitExceededException");
    assert!(message.contains("quota backends-per-virtual-node of 50"), "{message}");
    plane.put(&format!("{nodes}/n"), json!({"spec": over})).await.error("LimitExceededException");

    let mut spec = route("orders_v1", 1);
    spec["httpRoute"]["action"]["weightedTargets"] =
        json!([{"virtualNode": "orders_v1", "weight": 1}, {"virtualNode": "n", "weight": 1}]);
    let uri = "/meshes/shop/virtualRouter/orders/routes/all";
    plane.put(uri, json!({"spec": spec})).await.error("LimitExceededException");
}
