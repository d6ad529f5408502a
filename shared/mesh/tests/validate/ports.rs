//! Rules between two resources.

use mesh::name::ResourceKind::{GatewayRoute, Route, VirtualGateway, VirtualNode, VirtualRouter};
use mesh::spec::Spec;
use mesh::validate;
use serde_json::json;

use super::samples::{gateway_route, http_route, port, target};

#[test]
fn ports_between_resources_agree() {
    let Spec::VirtualRouter(router) = validate::parse(
        VirtualRouter,
        &json!({"listeners": [{"portMapping": port(80, "http")}, {"portMapping": port(81, "http")}]}),
    )
    .unwrap() else {
        unreachable!()
    };
    let Spec::VirtualGateway(gateway) = validate::parse(
        VirtualGateway,
        &json!({"listeners": [{"portMapping": port(80, "http")}, {"portMapping": port(81, "http")}]}),
    )
    .unwrap() else {
        unreachable!()
    };
    let Spec::VirtualNode(node) = validate::parse(VirtualNode, &json!({"listeners": [{"portMapping": port(80, "http")}, {"portMapping": port(81, "http")}], "serviceDiscovery": {"dns": {"hostname": "a"}}})).unwrap() else { unreachable!() };
    let Spec::VirtualNode(bare) = validate::parse(VirtualNode, &json!({})).unwrap() else { unreachable!() };
    let name = "a".parse().unwrap();
    for (port, agrees) in [(None, false), (Some(79), false), (Some(81), true)] {
        let target = json!([{"virtualNode": "a", "weight": 1, "port": port}]);
        let Spec::Route(route) = Spec::read(Route, &http_route(&json!({"port": port}), &target)).unwrap() else {
            unreachable!()
        };
        assert_eq!(validate::route_against_router(&route, &router).is_ok(), agrees, "{port:?}");
        assert_eq!(validate::route_against_node(&route, &name, &node).is_ok(), agrees, "{port:?}");
        assert!(validate::route_against_node(&route, &name, &bare).is_ok(), "without listeners nothing can be said");

        let mut spec = gateway_route(&json!({"prefix": "/", "port": port}), &json!({}));
        spec["httpRoute"]["action"]["target"]["port"] = json!(port);
        let Spec::GatewayRoute(route) = Spec::read(GatewayRoute, &spec).unwrap() else { unreachable!() };
        assert_eq!(validate::gateway_route_against_gateway(&route, &gateway).is_ok(), agrees, "{port:?}");
        let ports: Vec<_> = router.listeners().iter().map(|listener| listener.port_mapping.port).collect();
        assert_eq!(validate::gateway_route_against_provider(&route, &ports).is_ok(), agrees, "{port:?}");
    }
    let Spec::Route(route) = Spec::read(Route, &http_route(&json!({}), &json!([target(1)]))).unwrap() else {
        unreachable!()
    };
    let violations = validate::route_against_router(&route, &router).unwrap_err();
    assert_eq!(
        violations[0].to_string(),
        "spec.httpRoute.match.port: is required because the router has several listeners: add one of 80, 81"
    );
}
