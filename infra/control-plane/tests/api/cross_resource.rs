//! Checks across resources: existence, use, compatibility.

use serde_json::{Value, json};

use crate::client::Plane;
use crate::fixture::{gateway_route, node, route, samples, shop};

const NODES: &str = "/meshes/shop/virtualNodes";
const ROUTERS: &str = "/meshes/shop/virtualRouters";
const ROUTES: &str = "/meshes/shop/virtualRouter/orders/routes";
const SERVICES: &str = "/meshes/shop/virtualServices";
const GATEWAY_ROUTES: &str = "/meshes/shop/virtualGateway/edge/gatewayRoutes";

#[tokio::test]
async fn references_of_a_spec_have_to_exist() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let service = |provider: Value| json!({"virtualServiceName": "s.local", "spec": {"provider": provider}});
    for (collection, body, target) in [
        (ROUTES, json!({"routeName": "r", "spec": route("none", 1)}), "mesh/shop/virtualNode/none"),
        (SERVICES, service(json!({"virtualNode": {"virtualNodeName": "none"}})), "mesh/shop/virtualNode/none"),
        (SERVICES, service(json!({"virtualRouter": {"virtualRouterName": "none"}})), "mesh/shop/virtualRouter/none"),
        (
            GATEWAY_ROUTES,
            json!({"gatewayRouteName": "g", "spec": gateway_route("none.local", "/")}),
            "mesh/shop/virtualService/none.local",
        ),
    ] {
        let message = plane.put(collection, body).await.error("NotFoundException");
        assert!(message.contains(target), "{message}");
    }
    let message =
        plane.put(&format!("{ROUTES}/all"), json!({"spec": route("none", 1)})).await.error("NotFoundException");
    assert!(message.contains("mesh/shop/virtualNode/none"), "{message}");
}

#[tokio::test]
async fn references_that_app_mesh_did_not_check_may_dangle() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let mut spec = node("n.local");
    spec["backends"] = json!([{"virtualService": {"virtualServiceName": "never.created.local"}}]);
    plane.put(NODES, json!({"virtualNodeName": "n", "spec": spec})).await.ok();
    plane.put(NODES, json!({"virtualNodeName": "bare", "spec": {}})).await.ok();
    let body = json!({"virtualServiceName": "bare.local",
        "spec": {"provider": {"virtualNode": {"virtualNodeName": "bare"}}}});
    plane.put(SERVICES, body).await.ok();
    plane.put(SERVICES, json!({"virtualServiceName": "empty.local", "spec": {}})).await.ok();
    let body = json!({"gatewayRouteName": "g", "spec": gateway_route("empty.local", "/")});
    plane.put(GATEWAY_ROUTES, body).await.ok();
}

#[tokio::test]
async fn a_resource_in_use_is_not_deleted() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let samples = samples();
    for (kind, user) in [
        ("mesh", "is in it"),
        ("virtualNode", "mesh/shop/virtualRouter/orders/route/all still refers to it"),
        ("virtualRouter", "mesh/shop/virtualRouter/orders/route/all still is in it"),
        ("virtualService", "mesh/shop/virtualGateway/edge/gatewayRoute/orders still refers to it"),
        ("virtualGateway", "mesh/shop/virtualGateway/edge/gatewayRoute/orders still is in it"),
    ] {
        let sample = samples.iter().find(|sample| sample.kind == kind).unwrap();
        let message = plane.delete(&sample.uri()).await.error("ResourceInUseException");
        assert!(message.contains(sample.path) && message.contains(user), "{message}");
    }
    plane.delete(&format!("{ROUTES}/all")).await.ok();
    let message = plane.delete(&format!("{ROUTERS}/orders")).await.error("ResourceInUseException");
    assert!(message.contains("virtualService/a b/orders.local still refers to it"), "{message}");

    let service = format!("{SERVICES}/a%20b%2Forders.local");
    let by_node = json!({"spec": {"provider": {"virtualNode": {"virtualNodeName": "orders_v1"}}}});
    plane.put(&service, by_node).await.ok();
    plane.delete(&format!("{ROUTERS}/orders")).await.ok();
    let message = plane.delete(&format!("{NODES}/orders_v1")).await.error("ResourceInUseException");
    assert!(message.contains("virtualService/a b/orders.local still refers to it"), "{message}");
}

#[tokio::test]
async fn a_mesh_is_in_use_by_any_child() {
    let plane = Plane::start().await;
    for collection in ["virtualNodes", "virtualRouters", "virtualServices", "virtualGateways"] {
        plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
        let samples = samples();
        let sample = samples.iter().find(|sample| sample.list_member == collection).unwrap();
        let mut body = sample.body();
        if sample.kind == "virtualService" {
            body["spec"] = json!({});
        }
        plane.put(sample.collection, body).await.ok();
        plane.delete("/meshes/shop").await.error("ResourceInUseException");
        plane.delete(&sample.uri()).await.ok();
        plane.delete("/meshes/shop").await.ok();
    }
}

#[tokio::test]
async fn other_meshes_do_not_matter() {
    let plane = Plane::start().await;
    shop(&plane).await;
    plane.put("/meshes", json!({"meshName": "other"})).await.ok();
    plane.put("/meshes/other/virtualNodes", json!({"virtualNodeName": "orders_v1", "spec": {}})).await.ok();
    plane.delete("/meshes/other/virtualNodes/orders_v1").await.ok();
    plane.put("/meshes/other/virtualRouters", json!({"virtualRouterName": "r", "spec": {}})).await.ok();
    let body = json!({"routeName": "r", "spec": route("orders_v1", 1)});
    plane.put("/meshes/other/virtualRouter/r/routes", body).await.error("NotFoundException");
}

fn listeners(ports: &[u16]) -> Value {
    let listeners: Value =
        ports.iter().map(|port| json!({"portMapping": {"port": port, "protocol": "http"}})).collect();
    json!({"listeners": listeners, "serviceDiscovery": {"dns": {"hostname": "n.local"}}})
}

fn router_on(ports: &[u16]) -> Value {
    json!({"listeners": listeners(ports)["listeners"]})
}

#[tokio::test]
async fn a_route_has_to_name_the_port_of_a_router_with_several() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let body = json!({"virtualRouterName": "two", "spec": router_on(&[8080, 8081])});
    plane.put(ROUTERS, body).await.ok();
    let routes = "/meshes/shop/virtualRouter/two/routes";
    let on = |port: Option<u16>| {
        let mut spec = route("orders_v1", 1);
        if let Some(port) = port {
            spec["httpRoute"]["match"]["port"] = port.into();
        }
        json!({"routeName": "r", "spec": spec})
    };
    for port in [None, Some(9)] {
        let message = plane.put(routes, on(port)).await.error("BadRequestException");
        assert!(message.starts_with("spec.httpRoute.match.port: "), "{message}");
    }
    plane.put(routes, on(Some(8081))).await.ok();

    let message =
        plane.put(&format!("{ROUTERS}/two"), json!({"spec": router_on(&[8080])})).await.error("BadRequestException");
    assert!(message.contains("mesh/shop/virtualRouter/two/route/r") && message.contains("match.port"), "{message}");
    plane.put(&format!("{ROUTERS}/two"), json!({"spec": router_on(&[8081, 8082])})).await.ok();
    plane.delete(&format!("{routes}/r")).await.ok();
    plane.put(&format!("{ROUTERS}/two"), json!({"spec": router_on(&[1])})).await.ok();
}

#[tokio::test]
async fn a_route_has_to_name_the_port_of_a_target_with_several() {
    let plane = Plane::start().await;
    shop(&plane).await;
    plane.put(NODES, json!({"virtualNodeName": "two", "spec": listeners(&[8080, 8081])})).await.ok();
    let message =
        plane.put(ROUTES, json!({"routeName": "r", "spec": route("two", 1)})).await.error("BadRequestException");
    assert!(message.starts_with("spec.httpRoute.action.weightedTargets[0].port: "), "{message}");
    let mut spec = route("two", 1);
    spec["httpRoute"]["action"]["weightedTargets"][0]["port"] = 8081.into();
    plane.put(ROUTES, json!({"routeName": "r", "spec": spec})).await.ok();
}

#[tokio::test]
async fn a_gateway_route_has_to_name_the_port_where_there_are_several() {
    let plane = Plane::start().await;
    shop(&plane).await;
    plane
        .put(&format!("{ROUTERS}/orders"), json!({"spec": router_on(&[8080, 8081])}))
        .await
        .error("BadRequestException");
    plane.put(ROUTERS, json!({"virtualRouterName": "two", "spec": router_on(&[8080, 8081])})).await.ok();
    let body = json!({"virtualServiceName": "two.local",
        "spec": {"provider": {"virtualRouter": {"virtualRouterName": "two"}}}});
    plane.put(SERVICES, body).await.ok();
    let body = json!({"gatewayRouteName": "g", "spec": gateway_route("two.local", "/")});
    let message = plane.put(GATEWAY_ROUTES, body.clone()).await.error("BadRequestException");
    assert!(message.starts_with("spec.httpRoute.action.target.port: "), "{message}");
    let mut spec = gateway_route("two.local", "/");
    spec["httpRoute"]["action"]["target"]["port"] = 8081.into();
    plane.put(GATEWAY_ROUTES, json!({"gatewayRouteName": "g", "spec": spec})).await.ok();

    let body = json!({"virtualGatewayName": "two", "spec": router_on(&[8080, 8081])});
    plane.put("/meshes/shop/virtualGateways", body).await.ok();
    let uri = "/meshes/shop/virtualGateway/two/gatewayRoutes";
    let body = json!({"gatewayRouteName": "g", "spec": gateway_route("a b/orders.local", "/")});
    let message = plane.put(uri, body).await.error("BadRequestException");
    assert!(message.starts_with("spec.httpRoute.match.port: "), "{message}");
}

fn router_with(protocol: &str) -> Value {
    json!({"listeners": [{"portMapping": {"port": 8080, "protocol": protocol}}]})
}

#[tokio::test]
async fn write_that_breaks_a_route_or_gateway_route_is_refused_and_changes_nothing() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let (node, router, gateway) = ("orders_v1", "orders", "edge");
    let service = format!("{SERVICES}/a%20b%2Forders.local");
    let route = "mesh/shop/virtualRouter/orders/route/all";
    let gateway_route = "mesh/shop/virtualGateway/edge/gatewayRoute/orders";
    plane.put(NODES, json!({"virtualNodeName": "two", "spec": listeners(&[8080, 8081])})).await.ok();
    let by_two = json!({"provider": {"virtualNode": {"virtualNodeName": "two"}}});
    for (uri, spec, broken, first) in [
        (format!("{NODES}/{node}"), listeners(&[8080, 8081]), route, "set that port to 8080"),
        (format!("{NODES}/{node}"), json!({}), route, "take the virtual node out of its targets"),
        (format!("{ROUTERS}/{router}"), router_on(&[8080, 8081]), route, "set that port to 8080"),
        (format!("{ROUTERS}/{router}"), router_with("grpc"), route, "make it a grpcRoute, or delete it"),
        (format!("{ROUTERS}/{router}"), router_with("tcp"), gateway_route, "lead it to another virtual service"),
        (format!("/meshes/shop/virtualGateways/{gateway}"), router_on(&[8088, 8089]), gateway_route, "to 8088"),
        (service, by_two, gateway_route, "set that port to 8080"),
    ] {
        let before = plane.get(&uri).await.ok();
        let message = plane.put(&uri, json!({"spec": spec})).await.error("BadRequestException");
        assert!(message.contains(&format!("would break {broken}: ")) && message.contains(first), "{message}");
        assert_eq!(plane.get(&uri).await.ok(), before);
    }
}

/// The steps that the refusals name lead to two listeners without breaking a resource in between.
#[tokio::test]
async fn a_second_listener_can_be_added_by_the_steps_of_its_refusal() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let mut spec = route("orders_v1", 100);
    spec["httpRoute"]["match"]["port"] = 8080.into();
    spec["httpRoute"]["action"]["weightedTargets"][0]["port"] = 8080.into();
    plane.put(&format!("{ROUTES}/all"), json!({"spec": spec})).await.ok();
    let mut spec = gateway_route("a b/orders.local", "/orders");
    spec["httpRoute"]["match"]["port"] = 8088.into();
    spec["httpRoute"]["action"]["target"]["port"] = 8080.into();
    plane.put(&format!("{GATEWAY_ROUTES}/orders"), json!({"spec": spec})).await.ok();
    plane.put(&format!("{NODES}/orders_v1"), json!({"spec": listeners(&[8080, 8081])})).await.ok();
    plane.put(&format!("{ROUTERS}/orders"), json!({"spec": router_on(&[8080, 8081])})).await.ok();
    plane.put("/meshes/shop/virtualGateways/edge", json!({"spec": router_on(&[8088, 8089])})).await.ok();
}
