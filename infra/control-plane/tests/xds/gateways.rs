//! A gateway route changes its target while the proxy of the gateway acknowledges slowly, or reconnects.

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use prost::Message as _;
use serde_json::{Value, json};
use xds::ResourceType::{Cluster, Listener, Route};

use crate::envoy::{self, Delta, Envoy};
use crate::plane::{Plane, node};

const WEB: &str = "mesh/shop/virtualGateway/web";
const INGRESS: &str = "rds_ingress_http_80";
const EGRESS: &str = "rds_egress_http_15001";

/// A gateway with one route, which leads to `one.local`.
async fn plane() -> Plane {
    let plane = Plane::shop().await;
    for name in ["one", "two"] {
        plane.put("/shop/virtualNodes", node(name, &[])).await;
        let provider = json!({"virtualNode": {"virtualNodeName": name}});
        let service = json!({"virtualServiceName": format!("{name}.local"), "spec": {"provider": provider}});
        plane.put("/shop/virtualServices", service).await;
    }
    let listener = json!({"portMapping": {"port": 80, "protocol": "http"}});
    plane.put("/shop/virtualGateways", json!({"virtualGatewayName": "web", "spec": {"listeners": [listener]}})).await;
    let route = json!({"gatewayRouteName": "all", "spec": to("one.local")});
    plane.put("/shop/virtualGateway/web/gatewayRoutes", route).await;
    plane
}

fn to(service: &str) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": service}});
    json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": target}}})
}

async fn lead_to(plane: &Plane, service: &str) {
    plane.put("/shop/virtualGateway/web/gatewayRoutes/all", json!({"spec": to(service)})).await;
}

/// The services that each side of the gateway names, such as `one > one two`.
fn sides<'a>(configurations: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (mut ingress, mut egress) = (Vec::new(), Vec::new());
    for body in configurations {
        let routes = RouteConfiguration::decode(body).unwrap();
        let text = format!("{routes:?}");
        for service in ["one", "two"] {
            if text.contains(&format!("{service}.local")) {
                if routes.name == INGRESS { &mut ingress } else { &mut egress }.push(service);
            }
        }
    }
    format!("{} > {}", ingress.join(" "), egress.join(" "))
}

fn both(response: &DiscoveryResponse) -> String {
    sides(response.resources.iter().map(|resource| resource.value.as_slice()))
}

async fn connected(plane: &Plane) -> (Envoy, DiscoveryResponse) {
    let mut web = Envoy::connect(envoy::tcp(&plane.xds[0]).await, WEB).await;
    web.take(Cluster).await;
    web.subscribe(Listener, &[]);
    web.take(Listener).await;
    web.subscribe(Route, &[EGRESS, INGRESS]);
    let routes = web.take(Route).await;
    (web, routes)
}

/// The next response for routes; acknowledges those for clusters before it.
async fn next_routes(web: &mut Envoy) -> DiscoveryResponse {
    loop {
        let response = web.next().await;
        if response.type_url == Route.url() {
            return response;
        }
        web.acknowledge(&response);
    }
}

#[tokio::test]
async fn a_gateway_route_follows_its_target_and_the_former_target_goes_last() {
    let plane = plane().await;
    let (mut web, routes) = connected(&plane).await;
    assert_eq!(both(&routes), "one > one");
    lead_to(&plane, "two.local").await;
    for expected in ["one > one two", "two > one two", "two > two"] {
        let routes = next_routes(&mut web).await;
        assert_eq!(both(&routes), expected);
        // A proxy that has not acknowledged a step is not sent the next one.
        web.nothing_until(plane.get("/proxies")).await;
        web.acknowledge(&routes);
    }
    web.take(Cluster).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
}

#[tokio::test]
async fn another_change_on_the_way_keeps_the_targets_that_may_be_in_use() {
    let plane = plane().await;
    let (mut web, _) = connected(&plane).await;
    lead_to(&plane, "two.local").await;
    let routes = next_routes(&mut web).await;
    assert_eq!(both(&routes), "one > one two");
    lead_to(&plane, "one.local").await;
    plane.text("/metrics").await;
    web.acknowledge(&routes);
    // The ingress side may have been sent the other way and back again.
    loop {
        let routes = next_routes(&mut web).await;
        let sides = both(&routes);
        web.acknowledge(&routes);
        if sides == "one > one" {
            break;
        }
        assert!(["one > one two", "two > one two"].contains(&sides.as_str()), "{sides}");
    }
    web.take(Cluster).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
}

#[tokio::test]
async fn a_gateway_that_reconnects_keeps_its_former_target_until_its_routes_change() {
    let plane = plane().await;
    let (web, routes) = connected(&plane).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
    drop(web);
    lead_to(&plane, "two.local").await;
    let mut web = Envoy::open(envoy::tcp(&plane.xds[0]).await).await;
    web.node(WEB);
    web.subscribe(Cluster, &[]);
    web.take(Cluster).await;
    web.subscribe(Listener, &[]);
    web.take(Listener).await;
    web.subscribe_with(Route, &[EGRESS, INGRESS], &routes.version_info);
    for expected in ["one > one two", "two > one two", "two > two"] {
        let routes = next_routes(&mut web).await;
        assert_eq!(both(&routes), expected);
        web.acknowledge(&routes);
    }
}

#[tokio::test]
async fn the_same_holds_for_delta_streams() {
    let plane = plane().await;
    let mut web = Delta::connect(envoy::tcp(&plane.xds[0]).await, WEB).await;
    web.take(Cluster).await;
    web.subscribe(Listener, &[]);
    web.take(Listener).await;
    web.subscribe(Route, &[EGRESS, INGRESS]);
    let sent = web.take(Route).await;
    assert_eq!(sent.resources.len(), 2);
    lead_to(&plane, "two.local").await;
    web.take(Cluster).await;
    for expected in [" > one two", "two > ", " > two"] {
        let sent = web.take(Route).await;
        let bodies = sent.resources.iter().map(|one| one.resource.as_ref().unwrap().value.as_slice());
        assert_eq!(sides(bodies), expected);
    }
    web.take(Cluster).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
}
