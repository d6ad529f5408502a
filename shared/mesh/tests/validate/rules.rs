//! Rules between members of one resource.

use mesh::name::ResourceKind::{GatewayRoute, Route, VirtualGateway, VirtualNode, VirtualRouter};
use serde_json::json;

use super::samples::{check, gateway_route, http_route, node, port, refused, target};

#[test]
fn rules_between_members_are_enforced() {
    let two = json!([{"portMapping": port(80, "http")}, {"portMapping": port(80, "http2")}]);
    let service = |name: &str| json!({"target": {"virtualService": {"virtualServiceName": name}}});
    let table = [
        (VirtualNode, json!({"listeners": [{"portMapping": port(80, "http")}]}), "spec.serviceDiscovery"),
        (
            VirtualNode,
            node(&json!({"portMapping": port(80, "http"), "connectionPool": {"tcp": {"maxConnections": 1}}})),
            "spec.listeners[0].connectionPool.tcp",
        ),
        (
            VirtualNode,
            node(&json!({"portMapping": port(80, "http2"), "timeout": {"http": {}}})),
            "spec.listeners[0].timeout.http",
        ),
        (
            VirtualNode,
            node(&json!({"portMapping": port(80, "http"), "healthCheck": check("http", &json!({"port": 81}))})),
            "spec.listeners[0].healthCheck.port",
        ),
        (
            VirtualNode,
            json!({"listeners": two, "serviceDiscovery": {"dns": {"hostname": "a"}}}),
            "spec.listeners[1].portMapping.port",
        ),
        (VirtualRouter, json!({"listeners": two}), "spec.listeners[1].portMapping.port"),
        (VirtualGateway, json!({"listeners": two}), "spec.listeners[1].portMapping.port"),
        (
            VirtualGateway,
            json!({"listeners": [{"portMapping": port(80, "http"), "connectionPool": {"grpc": {"maxRequests": 1}}}]}),
            "spec.listeners[0].connectionPool.grpc",
        ),
        (
            VirtualGateway,
            json!({"listeners": [{"portMapping": port(80, "http"), "healthCheck": check("http", &json!({"port": 81}))}]}),
            "spec.listeners[0].healthCheck.port",
        ),
        (Route, http_route(&json!({"prefix": "a"}), &json!([target(1)])), "spec.httpRoute.match.prefix"),
        (
            Route,
            http_route(&json!({"prefix": "/a", "path": {"exact": "/a"}}), &json!([target(1)])),
            "spec.httpRoute.match.path",
        ),
        (
            Route,
            http_route(
                &json!({"prefix": "/", "headers": [{"name": "n", "match": {"range": {"start": 5, "end": 5}}}]}),
                &json!([target(1)]),
            ),
            "spec.httpRoute.match.headers[0].match.range.end",
        ),
        (
            Route,
            json!({"grpcRoute": {"match": {"methodName": "Pay"}, "action": {"weightedTargets": [target(1)]}}}),
            "spec.grpcRoute.match.serviceName",
        ),
        (
            Route,
            json!({"grpcRoute": {"match": {"metadata": [{"name": "n", "match": {"range": {"start": 6, "end": 5}}}]}, "action": {"weightedTargets": [target(1)]}}}),
            "spec.grpcRoute.match.metadata[0].match.range.end",
        ),
        (GatewayRoute, gateway_route(&json!({}), &json!({})), "spec.httpRoute.match"),
        (GatewayRoute, gateway_route(&json!({"method": "GET"}), &json!({})), "spec.httpRoute.match"),
        (GatewayRoute, gateway_route(&json!({"prefix": "/aws-appmesh/x"}), &json!({})), "spec.httpRoute.match.prefix"),
        (
            GatewayRoute,
            gateway_route(&json!({"path": {"exact": "/aws-app-meshes"}}), &json!({})),
            "spec.httpRoute.match.path.exact",
        ),
        (
            GatewayRoute,
            gateway_route(&json!({"prefix": "/a"}), &json!({"prefix": {"value": "/b"}})),
            "spec.httpRoute.action.rewrite.prefix.value",
        ),
        (
            GatewayRoute,
            gateway_route(&json!({"prefix": "/a"}), &json!({"prefix": {"value": "/b/"}, "path": {"exact": "/c"}})),
            "spec.httpRoute.action.rewrite.path",
        ),
        (GatewayRoute, json!({"grpcRoute": {"match": {}, "action": service("s")}}), "spec.grpcRoute.match"),
        (
            GatewayRoute,
            json!({"grpcRoute": {"match": {"serviceName": "aws.appmesh.X"}, "action": service("s")}}),
            "spec.grpcRoute.match.serviceName",
        ),
        (
            GatewayRoute,
            json!({"grpcRoute": {"match": {"serviceName": "s"}, "action": service(&"s".repeat(256))}}),
            "spec.grpcRoute.action.target.virtualService.virtualServiceName",
        ),
    ];
    refused(&table);
}
