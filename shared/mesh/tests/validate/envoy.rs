//! Specs that Envoy refuses, and members that it does not need.

#![expect(clippy::needless_pass_by_value, clippy::too_many_lines, reason = "tables with values in place")]

use mesh::graph::Mesh;
use mesh::name::ResourceKind::{self, GatewayRoute, Route, VirtualGateway, VirtualNode};
use mesh::spec::{Refusal, Violation};
use mesh::validate;
use serde_json::{Value, json};

use super::references::{gateway_route as to_service, mesh_of, put, read};
use super::samples::{check, client_tls, gateway_route, http_route, node, port, target};

fn logging(file: Value) -> Value {
    json!({"logging": {"accessLog": {"file": file}}})
}

fn retrying(events: Value, most: u32) -> Value {
    let mut spec = http_route(&json!({"prefix": "/"}), &json!([target(1)]));
    spec["httpRoute"]["retryPolicy"] =
        json!({"maxRetries": most, "perRetryTimeout": {"unit": "s", "value": 1}, "httpRetryEvents": events});
    spec
}

fn listening(tls: Value) -> Value {
    node(&json!({"portMapping": port(80, "http"), "tls": tls}))
}

fn calling(backends: &[(&str, Value)]) -> Value {
    let backend = |(name, policy): &(&str, Value)| json!({"virtualService": {"virtualServiceName": name, "clientPolicy": policy}});
    json!({"backends": backends.iter().map(backend).collect::<Vec<_>>()})
}

fn sds(name: &str) -> Value {
    json!({"sds": {"secretName": name}})
}

/// A spec, and the refusals expected as the member and the code.
type Row = (ResourceKind, Value, &'static [(&'static str, &'static str)]);

#[test]
fn values_that_envoy_refuses_are_refused() {
    let named = |discovery: Value| json!({"serviceDiscovery": {"awsCloudMap": discovery}});
    let range_of_trusts = json!({"mode": "PERMISSIVE", "certificate": sds(""), "validation": {"trust": sds("")}});
    let trust = json!({"tls": {"validation": {"trust": sds("")}, "certificate": sds("")}});
    let parameter = |name: &str| {
        let matches = json!({"prefix": "/", "queryParameters": [{"name": "q"}, {"name": name}]});
        http_route(&matches, &json!([target(1)]))
    };
    let rewritten = |rewrite: Value| gateway_route(&json!({"prefix": "/a"}), &rewrite);
    let table: &[Row] = &[
        (
            Route,
            http_route(&json!({"path": {"regex": "(a"}}), &json!([target(1)])),
            &[("spec.httpRoute.match.path.regex", "regex")],
        ),
        (
            Route,
            json!({"grpcRoute": {"match": {"metadata": [{"name": "m", "match": {"regex": "\\8"}}, {"name": "a\0"}]}, "action": {"weightedTargets": [target(1)]}}}),
            &[
                ("spec.grpcRoute.match.metadata[0].match.regex", "regex"),
                ("spec.grpcRoute.match.metadata[1].name", "control-character"),
            ],
        ),
        (Route, parameter(""), &[("spec.httpRoute.match.queryParameters[1].name", "out-of-bounds")]),
        (Route, parameter(&"ü".repeat(513)), &[("spec.httpRoute.match.queryParameters[1].name", "out-of-bounds")]),
        (
            Route,
            retrying(json!(["server-error", "5xx", "connection-error"]), 1),
            &[
                ("spec.httpRoute.retryPolicy.httpRetryEvents[1]", "value-unknown"),
                ("spec.httpRoute.retryPolicy.httpRetryEvents[2]", "value-unknown"),
            ],
        ),
        (
            GatewayRoute,
            gateway_route(&json!({"path": {"regex": "(?<!a)b"}}), &json!({})),
            &[("spec.httpRoute.match.path.regex", "regex")],
        ),
        (
            GatewayRoute,
            gateway_route(&json!({"path": {"exact": "/a"}}), &json!({"prefix": {"value": "/b/"}})),
            &[("spec.httpRoute.action.rewrite.prefix.value", "rewrite-without-prefix")],
        ),
        (
            GatewayRoute,
            rewritten(json!({"prefix": {"value": "/a\nb/"}})),
            &[("spec.httpRoute.action.rewrite.prefix.value", "control-character")],
        ),
        (
            GatewayRoute,
            rewritten(json!({"path": {"exact": "/a\0"}})),
            &[("spec.httpRoute.action.rewrite.path.exact", "control-character")],
        ),
        (
            GatewayRoute,
            to_service("*", None, None),
            &[("spec.httpRoute.action.target.virtualService.virtualServiceName", "hostname")],
        ),
        (
            VirtualNode,
            logging(json!({"path": "/dev/stdout", "format": {"text": "%PROTOCOL"}})),
            &[("spec.logging.accessLog.file.format.text", "log-format")],
        ),
        (VirtualNode, logging(json!({"path": "/var/log/"})), &[("spec.logging.accessLog.file.path", "log-path")]),
        (
            VirtualNode,
            listening(range_of_trusts),
            &[
                ("spec.listeners[0].tls.certificate.sds.secretName", "secret-unnamed"),
                ("spec.listeners[0].tls.validation.trust.sds.secretName", "secret-unnamed"),
            ],
        ),
        (
            VirtualNode,
            calling(&[("s", trust)]),
            &[
                ("spec.backends[0].virtualService.clientPolicy.tls.certificate.sds.secretName", "secret-unnamed"),
                ("spec.backends[0].virtualService.clientPolicy.tls.validation.trust.sds.secretName", "secret-unnamed"),
            ],
        ),
        (
            VirtualNode,
            client_tls(&json!({"validation": {"trust": sds("")}})),
            &[("spec.backendDefaults.clientPolicy.tls.validation.trust.sds.secretName", "secret-unnamed")],
        ),
        (
            VirtualNode,
            calling(&[("s.local", json!({})), ("t.local", json!({})), ("S.local", json!({}))]),
            &[("spec.backends[2].virtualService.virtualServiceName", "same-host")],
        ),
        (
            VirtualNode,
            named(json!({"namespaceName": "shop\n", "serviceName": "a\tb"})),
            &[
                ("spec.serviceDiscovery.awsCloudMap.namespaceName", "control-character"),
                ("spec.serviceDiscovery.awsCloudMap.serviceName", "control-character"),
            ],
        ),
        (
            VirtualNode,
            node(&json!({"portMapping": port(80, "http"), "healthCheck": check("http", &json!({"path": "/\u{1}"}))})),
            &[("spec.listeners[0].healthCheck.path", "control-character")],
        ),
        (
            VirtualGateway,
            json!({"listeners": [{"portMapping": port(15_000, "http")}, {"portMapping": port(15_001, "http")}]}),
            &[("spec.listeners[1].portMapping.port", "port-of-proxy")],
        ),
    ];
    for (kind, spec, expected) in table {
        let violations = validate::spec(*kind, spec).expect_err(expected[0].0);
        assert_eq!(short(&violations), *expected, "{spec}");
    }
}

fn short(violations: &[Violation]) -> Vec<(&str, &str)> {
    violations.iter().map(|violation| (violation.path.as_str(), violation.refusal.code())).collect()
}

/// AWS accepted each of these, and a proxy can be configured without it, or with something that does the same.
#[test]
fn members_that_envoy_does_not_need_may_be_absent() {
    let outlier = |interval: Value, ejection: Value| {
        let detection = json!({
            "maxServerErrors": 5, "maxEjectionPercent": 50, "interval": interval, "baseEjectionDuration": ejection,
        });
        node(&json!({"portMapping": port(80, "http"), "outlierDetection": detection}))
    };
    let limited = |idle: Value| node(&json!({"portMapping": port(80, "http"), "timeout": {"http": {"idle": idle}}}));
    let table = [
        (
            "no outlier interval",
            VirtualNode,
            outlier(json!({"unit": "s", "value": 0}), json!({"unit": "s", "value": 1})),
        ),
        ("an outlier detection without times", VirtualNode, outlier(json!({}), json!({}))),
        ("a limit without a unit", VirtualNode, limited(json!({"value": 1}))),
        ("a limit of centuries", VirtualNode, limited(json!({"unit": "s", "value": i64::MAX}))),
        ("events without retries", Route, retrying(json!(["made-up"]), 0)),
        (
            "the same backend twice",
            VirtualNode,
            calling(&[("s.local", json!({})), ("s.local", json!({"tls": {"validation": {"trust": sds("ca")}}}))]),
        ),
        ("a secret of TLS that is off", VirtualNode, listening(json!({"mode": "DISABLED", "certificate": sds("")}))),
        (
            "a default rewrite of a whole path",
            GatewayRoute,
            gateway_route(&json!({"path": {"exact": "/a"}}), &json!({"prefix": {"defaultPrefix": "ENABLED"}})),
        ),
        ("a node on the proxy's port", VirtualNode, node(&json!({"portMapping": port(15_001, "tcp")}))),
        (
            "a route of another kind than its listener",
            Route,
            json!({"tcpRoute": {"action": {"weightedTargets": [target(1)]}}}),
        ),
    ];
    for (what, kind, spec) in table {
        assert_eq!(validate::spec(kind, &spec), Ok(()), "{what}");
    }
}

fn broken_by(mesh: &Mesh, name: &str, spec: &Value) -> Vec<(String, &'static str)> {
    let (path, spec) = read(name, spec);
    let violations = validate::broken_by(mesh, &path, &spec);
    violations.into_iter().map(|violation| (violation.path, violation.refusal.code())).collect()
}

/// A mesh that was stored before the rule must still be able to get a new certificate, or other weights.
#[test]
fn stored_spec_does_not_refuse_another_write() {
    let with_logs = |port: u32, formats: &[&str]| {
        let members: Vec<Value> = formats.iter().map(|format| json!({"key": format, "value": format})).collect();
        let mut spec = node(&json!({"portMapping": super::samples::port(port, "http")}));
        spec["logging"] = json!({"accessLog": {"file": {"path": "/dev/stdout", "format": {"json": members}}}});
        spec
    };
    let expressions = |weight: i64, all: &[&str]| {
        let header = |regex: &&str| json!({"name": "h", "match": {"regex": regex}});
        let headers: Vec<Value> = all.iter().map(header).collect();
        http_route(&json!({"prefix": "/", "headers": headers}), &json!([target(weight)]))
    };
    let mesh = mesh_of(&[
        ("virtualNode/orders", with_logs(80, &["%A%", "%PROTOCOL%"])),
        ("virtualRouter/r", json!({"listeners": [{"portMapping": port(80, "http")}]})),
        ("virtualRouter/r/route/all", expressions(1, &["(a"])),
    ]);
    let format = |index: usize| (format!("spec.logging.accessLog.file.format.json[{index}].value"), "log-format");
    let regex = |index: usize| (format!("spec.httpRoute.match.headers[{index}].match.regex"), "regex");
    assert_eq!(broken_by(&mesh, "virtualNode/orders", &with_logs(80, &["%A%"])), []);
    assert_eq!(broken_by(&mesh, "virtualNode/orders", &with_logs(80, &["%PROTOCOL%", "%A%"])), []);
    assert_eq!(broken_by(&mesh, "virtualNode/orders", &with_logs(80, &["%A%", "%A%"])), [format(1)]);
    assert_eq!(broken_by(&mesh, "virtualNode/orders", &with_logs(80, &["%B%"])), [format(0)]);
    assert_eq!(broken_by(&mesh, "virtualNode/another", &with_logs(80, &["%A%"])), [format(0)]);
    assert_eq!(broken_by(&mesh, "virtualRouter/r/route/all", &expressions(9, &["(a"])), []);
    assert_eq!(broken_by(&mesh, "virtualRouter/r/route/all", &expressions(9, &["(b", "(a"])), [regex(0)]);
}

#[test]
fn gateway_routes_to_one_host_in_two_spellings_are_refused() {
    let member = "spec.httpRoute.action.target.virtualService.virtualServiceName";
    let mut mesh = mesh_of(&[
        ("virtualService/s.local", json!({})),
        ("virtualService/S.local", json!({})),
        ("virtualGateway/edge", json!({"listeners": [{"portMapping": port(80, "http")}]})),
        ("virtualGateway/other", json!({"listeners": [{"portMapping": port(80, "http")}]})),
        ("virtualGateway/edge/gatewayRoute/lower", to_service("s.local", None, None)),
    ]);
    let write = |mesh: &Mesh, name: &str, service: &str| broken_by(mesh, name, &to_service(service, None, None));
    let refused = [(member.to_owned(), "same-host")];
    assert_eq!(write(&mesh, "virtualGateway/edge/gatewayRoute/upper", "S.local"), refused);
    assert_eq!(write(&mesh, "virtualGateway/edge/gatewayRoute/upper", "s.local"), []);
    assert_eq!(write(&mesh, "virtualGateway/edge/gatewayRoute/lower", "S.local"), []);
    assert_eq!(write(&mesh, "virtualGateway/other/gatewayRoute/upper", "S.local"), []);
    // Of an earlier server.
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/upper", &to_service("S.local", None, None));
    assert_eq!(write(&mesh, "virtualGateway/edge/gatewayRoute/upper", "S.local"), []);
    let found = validate::between(&mesh);
    let found: Vec<_> = found.iter().map(|(path, violation)| (path.name(), violation.refusal.code())).collect();
    assert_eq!(found, [("upper", "same-host")]);
    let (_, violation) = &validate::between(&mesh)[0];
    assert!(matches!(violation.refusal, Refusal::SameHost { .. }));
    assert_eq!(
        violation.message(),
        "is `s.local`, the host of the target of gateway route lower (hosts do not differ by letter case): remove one of \
         the two"
            .replace("s.local", "S.local")
    );
}
