//! Specs that AWS accepted.

use mesh::name::ResourceKind::{GatewayRoute, Mesh, Route, VirtualGateway, VirtualNode, VirtualRouter, VirtualService};
use mesh::spec::Spec;
use mesh::validate;
use serde_json::json;

use super::samples::{check, client_tls, gateway_route, http_route, node, port, target};

/// Accepted by AWS according to its tests and Terraform's acceptance tests, some against its documentation.
#[test]
fn specs_accepted_by_aws_are_accepted() {
    let table = [
        ("a mesh without anything", Mesh, json!({})),
        ("a node without anything", VirtualNode, json!({})),
        ("a service without provider", VirtualService, json!({})),
        ("a router without listeners", VirtualRouter, json!({})),
        ("lists that are there and empty", VirtualNode, json!({"backends": [], "listeners": []})),
        (
            "bounds count characters, not bytes",
            VirtualNode,
            json!({"logging": {"accessLog": {"file": {"path": "ü".repeat(255)}}}}),
        ),
        (
            "backends that need not exist",
            VirtualNode,
            json!({"backends": [{"virtualService": {"virtualServiceName": "a b/c.local"}}]}),
        ),
        (
            "grpc listener, http2 check with path",
            VirtualNode,
            node(&json!({"portMapping": port(80, "grpc"), "healthCheck": check("http2", &json!({"path": "/"}))})),
        ),
        (
            "http listener, tcp check",
            VirtualNode,
            node(&json!({"portMapping": port(80, "http"), "healthCheck": check("tcp", &json!({"port": 80}))})),
        ),
        (
            "gateway: http2 listener, grpc check",
            VirtualGateway,
            json!({"listeners": [{"portMapping": port(80, "http2"), "healthCheck": check("grpc", &json!({}))}]}),
        ),
        (
            "outlier detection on tcp",
            VirtualNode,
            node(
                &json!({"portMapping": port(80, "tcp"), "outlierDetection": {"baseEjectionDuration": {"unit": "ms", "value": 250_000}, "interval": {"unit": "s", "value": 0}, "maxEjectionPercent": 0, "maxServerErrors": 1}}),
            ),
        ),
        (
            "durations without members",
            VirtualNode,
            node(&json!({"portMapping": port(80, "http"), "timeout": {"http": {"idle": {}}}})),
        ),
        (
            "several listeners of a router",
            VirtualRouter,
            json!({"listeners": [{"portMapping": port(80, "http")}, {"portMapping": port(81, "http2")}, {"portMapping": port(82, "grpc")}]}),
        ),
        ("weights that do not sum to 100", Route, http_route(&json!({"prefix": "/"}), &json!([target(99), target(0)]))),
        ("weights that are all zero", Route, http_route(&json!({"prefix": "/"}), &json!([target(0)]))),
        ("weights above 100 in sum", Route, http_route(&json!({"prefix": "/"}), &json!([target(100), target(100)]))),
        ("a match by port alone", Route, http_route(&json!({"port": 80}), &json!([target(1)]))),
        (
            "a header that is there, or not",
            Route,
            http_route(
                &json!({"headers": [{"name": "X-Testing1"}, {"name": "x", "invert": true}], "prefix": "/"}),
                &json!([target(1)]),
            ),
        ),
        ("tcp without match", Route, json!({"tcpRoute": {"action": {"weightedTargets": [target(0), target(99)]}}})),
        (
            "grpc by metadata alone",
            Route,
            json!({"grpcRoute": {"match": {"metadata": [{"name": "m", "invert": true}]}, "action": {"weightedTargets": [target(1)]}}}),
        ),
        (
            "no retries",
            Route,
            json!({"http2Route": {"match": {"prefix": "/"}, "action": {"weightedTargets": [target(1)]}, "retryPolicy": {"maxRetries": 0, "perRetryTimeout": {"unit": "ms", "value": 250_000}, "httpRetryEvents": ["made-up"]}}}),
        ),
        (
            "gateway route by host name alone",
            GatewayRoute,
            gateway_route(&json!({"hostname": {"exact": "shop.example"}}), &json!({})),
        ),
        ("gateway route by port alone", GatewayRoute, gateway_route(&json!({"port": 80}), &json!({}))),
        (
            "gateway route that rewrites nothing",
            GatewayRoute,
            gateway_route(
                &json!({"prefix": "/"}),
                &json!({"hostname": {"defaultTargetHostname": "DISABLED"}, "prefix": {"defaultPrefix": "DISABLED"}}),
            ),
        ),
        (
            "a wildcard name where it is enforced",
            VirtualNode,
            client_tls(
                &json!({"enforce": true, "validation": {"subjectAlternativeNames": {"match": {"exact": ["*.shop.local"]}}, "trust": {"sds": {"secretName": "ca"}}}}),
            ),
        ),
    ];
    for (what, kind, spec) in table {
        assert_eq!(validate::spec(kind, &spec), Ok(()), "{what}");
        assert_eq!(Spec::read(kind, &spec).unwrap().to_json(), spec, "{what}");
    }
}

#[test]
fn null_members_count_as_absent() {
    let table = [
        (Mesh, json!({"egressFilter": null, "unknown": null}), json!({})),
        (
            VirtualService,
            json!({"provider": {"virtualNode": {"virtualNodeName": "a"}, "virtualRouter": null, "other": null}}),
            json!({"provider": {"virtualNode": {"virtualNodeName": "a"}}}),
        ),
        (
            Route,
            json!({"httpRoute": null, "tcpRoute": {"match": null, "action": {"weightedTargets": [target(1)]}}}),
            json!({"tcpRoute": {"action": {"weightedTargets": [target(1)]}}}),
        ),
    ];
    for (kind, spec, written) in table {
        assert_eq!(validate::spec(kind, &spec), Ok(()));
        assert_eq!(Spec::read(kind, &spec).unwrap().to_json(), written);
    }
}
