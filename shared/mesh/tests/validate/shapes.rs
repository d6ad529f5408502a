//! Bounds, enumerations, patterns, required and unknown members, unions.

use mesh::name::ResourceKind::{GatewayRoute, Mesh, Route, VirtualGateway, VirtualNode, VirtualRouter, VirtualService};
use mesh::validate;
use serde_json::{Value, json};

use super::samples::{check, client_tls, gateway_route, http_route, node, port, refused, target};

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a row a rule")]
fn bounds_and_shapes_are_enforced() {
    let eleven: Vec<Value> = (0..11).map(|_| target(1)).collect();
    let table = [
        (Mesh, json!([]), "spec"),
        (Mesh, json!({"egressFilter": {}}), "spec.egressFilter.type"),
        (Mesh, json!({"egressFilter": {"type": "ALLOW"}}), "spec.egressFilter.type"),
        (Mesh, json!({"egressfilter": {}}), "spec.egressfilter"),
        (Mesh, json!({"serviceDiscovery": {"ipPreference": "ipv4_only"}}), "spec.serviceDiscovery.ipPreference"),
        (VirtualService, json!({"provider": {}}), "spec.provider"),
        (
            VirtualService,
            json!({"provider": {"virtualNode": {"virtualNodeName": "a"}, "virtualRouter": {"virtualRouterName": "b"}}}),
            "spec.provider",
        ),
        (
            VirtualService,
            json!({"provider": {"virtualNode": {"virtualNodeName": ""}}}),
            "spec.provider.virtualNode.virtualNodeName",
        ),
        (VirtualService, json!({"provider": {"virtualNode": {}}}), "spec.provider.virtualNode.virtualNodeName"),
        (VirtualRouter, json!({"listeners": [{}]}), "spec.listeners[0].portMapping"),
        (VirtualRouter, json!({"listeners": [{"portMapping": port(0, "http")}]}), "spec.listeners[0].portMapping.port"),
        (
            VirtualRouter,
            json!({"listeners": [{"portMapping": {"port": 80.5, "protocol": "http"}}]}),
            "spec.listeners[0].portMapping.port",
        ),
        (
            VirtualRouter,
            json!({"listeners": [{"portMapping": {"port": "80", "protocol": "http"}}]}),
            "spec.listeners[0].portMapping.port",
        ),
        (
            VirtualRouter,
            json!({"listeners": [{"portMapping": port(80, "HTTP")}]}),
            "spec.listeners[0].portMapping.protocol",
        ),
        (VirtualRouter, json!({"listeners": null, "listener": []}), "spec.listener"),
        (VirtualGateway, json!({}), "spec.listeners"),
        (
            VirtualGateway,
            json!({"listeners": [{"portMapping": port(80, "tcp")}]}),
            "spec.listeners[0].portMapping.protocol",
        ),
        (
            VirtualGateway,
            json!({"listeners": [{"portMapping": port(80, "http"), "healthCheck": check("tcp", &json!({}))}]}),
            "spec.listeners[0].healthCheck.protocol",
        ),
        (
            VirtualNode,
            node(
                &json!({"portMapping": port(80, "http"), "healthCheck": check("http", &json!({"healthyThreshold": 1}))}),
            ),
            "spec.listeners[0].healthCheck.healthyThreshold",
        ),
        (
            VirtualNode,
            node(
                &json!({"portMapping": port(80, "http"), "healthCheck": check("http", &json!({"intervalMillis": 300_001}))}),
            ),
            "spec.listeners[0].healthCheck.intervalMillis",
        ),
        (
            VirtualNode,
            node(
                &json!({"portMapping": port(80, "http"), "healthCheck": check("http", &json!({"timeoutMillis": 1_999}))}),
            ),
            "spec.listeners[0].healthCheck.timeoutMillis",
        ),
        (
            VirtualNode,
            node(&json!({"portMapping": port(80, "http"), "connectionPool": {"http": {"maxConnections": 0}}})),
            "spec.listeners[0].connectionPool.http.maxConnections",
        ),
        (
            VirtualNode,
            node(
                &json!({"portMapping": port(80, "http"), "connectionPool": {"http": {"maxConnections": 2_147_483_648_u64}}}),
            ),
            "spec.listeners[0].connectionPool.http.maxConnections",
        ),
        (
            VirtualNode,
            node(
                &json!({"portMapping": port(80, "http"), "outlierDetection": {"baseEjectionDuration": {"unit": "m"}, "interval": {}, "maxEjectionPercent": 1, "maxServerErrors": u64::MAX}}),
            ),
            "spec.listeners[0].outlierDetection.maxServerErrors",
        ),
        (
            VirtualNode,
            node(
                &json!({"portMapping": port(80, "http"), "outlierDetection": {"baseEjectionDuration": {"unit": "m"}, "interval": {}, "maxEjectionPercent": 1, "maxServerErrors": 1}}),
            ),
            "spec.listeners[0].outlierDetection.baseEjectionDuration.unit",
        ),
        (
            VirtualNode,
            node(
                &json!({"portMapping": port(80, "http"), "tls": {"mode": "STRICT", "certificate": {"acm": {"certificateArn": "arn"}}, "validation": {"trust": {"acm": {"certificateAuthorityArns": ["a"]}}}}}),
            ),
            "spec.listeners[0].tls.validation.trust.acm",
        ),
        (
            VirtualNode,
            client_tls(
                &json!({"certificate": {"acm": {"certificateArn": "a"}}, "validation": {"trust": {"sds": {"secretName": "s"}}}}),
            ),
            "spec.backendDefaults.clientPolicy.tls.certificate.acm",
        ),
        (
            VirtualNode,
            client_tls(&json!({"validation": {"trust": {"acm": {"certificateAuthorityArns": ["a", "b", "c", "d"]}}}})),
            "spec.backendDefaults.clientPolicy.tls.validation.trust.acm.certificateAuthorityArns",
        ),
        (
            VirtualNode,
            client_tls(&json!({"validation": {"trust": {"file": {"certificateChain": ""}}}})),
            "spec.backendDefaults.clientPolicy.tls.validation.trust.file.certificateChain",
        ),
        (
            VirtualNode,
            client_tls(&json!({"ports": [443, 65_536], "validation": {"trust": {"sds": {"secretName": "s"}}}})),
            "spec.backendDefaults.clientPolicy.tls.ports[1]",
        ),
        (VirtualNode, client_tls(&json!({})), "spec.backendDefaults.clientPolicy.tls.validation"),
        (
            VirtualNode,
            json!({"logging": {"accessLog": {"file": {"path": "/dev/stdout", "format": {"text": ""}}}}}),
            "spec.logging.accessLog.file.format.text",
        ),
        (
            VirtualNode,
            json!({"serviceDiscovery": {"dns": {"hostname": "a"}, "awsCloudMap": {"namespaceName": "a", "serviceName": "b"}}}),
            "spec.serviceDiscovery",
        ),
        (
            VirtualNode,
            json!({"serviceDiscovery": {"awsCloudMap": {"namespaceName": "a", "serviceName": "b", "attributes": [{"key": "a b", "value": "x"}]}}}),
            "spec.serviceDiscovery.awsCloudMap.attributes[0].key",
        ),
        (
            VirtualNode,
            json!({"serviceDiscovery": {"awsCloudMap": {"namespaceName": "a", "serviceName": "b", "attributes": [{"key": "a", "value": " x"}]}}}),
            "spec.serviceDiscovery.awsCloudMap.attributes[0].value",
        ),
        (Route, json!({}), "spec"),
        (Route, json!({"priority": 1}), "spec"),
        (Route, json!({"httpsRoute": {}}), "spec.httpsRoute"),
        (Route, json!({"httpRoute": null}), "spec"),
        (Route, json!({"priority": 1001, "tcpRoute": {"action": {"weightedTargets": [target(1)]}}}), "spec.priority"),
        (
            Route,
            json!({"tcpRoute": {"action": {"weightedTargets": [target(1)]}}, "grpcRoute": {"match": {}, "action": {"weightedTargets": [target(1)]}}}),
            "spec",
        ),
        (Route, http_route(&json!({"prefix": "/"}), &json!([])), "spec.httpRoute.action.weightedTargets"),
        (Route, http_route(&json!({"prefix": "/"}), &json!(eleven)), "spec.httpRoute.action.weightedTargets"),
        (
            Route,
            http_route(&json!({"prefix": "/"}), &json!([target(101)])),
            "spec.httpRoute.action.weightedTargets[0].weight",
        ),
        (
            Route,
            http_route(&json!({"prefix": "/"}), &json!([target(-1)])),
            "spec.httpRoute.action.weightedTargets[0].weight",
        ),
        (
            Route,
            http_route(&json!({"prefix": "/"}), &json!([{"virtualNode": "a"}])),
            "spec.httpRoute.action.weightedTargets[0].weight",
        ),
        (
            Route,
            http_route(&json!({"prefix": "/", "method": "get"}), &json!([target(1)])),
            "spec.httpRoute.match.method",
        ),
        (
            Route,
            http_route(&json!({"prefix": "/", "headers": []}), &json!([target(1)])),
            "spec.httpRoute.match.headers",
        ),
        (
            Route,
            http_route(&json!({"prefix": "/", "headers": [{"name": "a:b"}]}), &json!([target(1)])),
            "spec.httpRoute.match.headers[0].name",
        ),
        (
            Route,
            http_route(
                &json!({"prefix": "/", "headers": [{"name": "a", "match": {"exact": "a", "suffix": "b"}}]}),
                &json!([target(1)]),
            ),
            "spec.httpRoute.match.headers[0].match",
        ),
        (
            Route,
            http_route(&json!({"path": {"exact": "/a", "regex": "/b"}}), &json!([target(1)])),
            "spec.httpRoute.match.path",
        ),
        (
            Route,
            http_route(&json!({"path": {"exact": "/".repeat(256)}}), &json!([target(1)])),
            "spec.httpRoute.match.path.exact",
        ),
        (
            Route,
            json!({"grpcRoute": {"match": {}, "action": {"weightedTargets": [target(1)]}, "retryPolicy": {"maxRetries": -1, "perRetryTimeout": {}}}}),
            "spec.grpcRoute.retryPolicy.maxRetries",
        ),
        (
            Route,
            json!({"grpcRoute": {"match": {}, "action": {"weightedTargets": [target(1)]}, "retryPolicy": {"maxRetries": 1, "perRetryTimeout": {}, "grpcRetryEvents": ["made-up"]}}}),
            "spec.grpcRoute.retryPolicy.grpcRetryEvents[0]",
        ),
        (GatewayRoute, json!({"tcpRoute": {}}), "spec.tcpRoute"),
        (
            GatewayRoute,
            gateway_route(&json!({"hostname": {"exact": "a", "suffix": "b"}}), &json!({})),
            "spec.httpRoute.match.hostname",
        ),
        (
            GatewayRoute,
            gateway_route(&json!({"prefix": "/"}), &json!({"prefix": {"defaultPrefix": "ENABLED", "value": "/a/"}})),
            "spec.httpRoute.action.rewrite.prefix",
        ),
    ];
    refused(&table);
}

#[test]
fn every_violation_is_reported_at_once() {
    let spec =
        json!({"listeners": [{"portMapping": port(0, "ftp")}, {"portMapping": port(65_536, "http")}], "extra": 1});
    let violations = validate::spec(VirtualNode, &spec).unwrap_err();
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "spec.listeners[0].portMapping.port: is 0, must be 1 to 65535",
            "spec.listeners[0].portMapping.protocol: is `ftp`, must be one of http, tcp, http2, grpc",
            "spec.listeners[1].portMapping.port: is 65536, must be 1 to 65535",
            "spec.extra: is not a member here: remove it; the members are backendDefaults, backends, listeners, logging, serviceDiscovery",
        ]
    );
}
