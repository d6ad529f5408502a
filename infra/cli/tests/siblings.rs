//! Variations of publicly reported mistakes, and the findings of `meshwarden check` in the original file format.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::needless_pass_by_value, reason = "the tests read better with `json!` in place")]

mod folder;

use folder::Folder;
use serde_json::{Value, json};

fn named(kind: &str, name: &str, spec: Value) -> Value {
    json!({"meshName": "m", format!("{kind}Name"): name, "spec": spec})
}

fn listener(port: u16, protocol: &str) -> Value {
    json!({"portMapping": {"port": port, "protocol": protocol}})
}

/// A virtual node with listeners and DNS service discovery.
fn node(name: &str, listeners: Value) -> Value {
    let host = format!("{name}.m.local");
    named("virtualNode", name, json!({"listeners": listeners, "serviceDiscovery": {"dns": {"hostname": host}}}))
}

/// A virtual node with the backend `a.m.local`.
fn caller() -> Value {
    let mut caller = node("caller", json!([listener(8080, "http")]));
    caller["spec"]["backends"] = json!([{"virtualService": {"virtualServiceName": "a.m.local"}}]);
    caller
}

fn router(listeners: Value) -> Value {
    named("virtualRouter", "r", json!({"listeners": listeners}))
}

/// A route of router `r` to virtual node `a`.
fn route(kind: &str, mut rule: Value) -> Value {
    rule["action"] = json!({"weightedTargets": [{"virtualNode": "a", "weight": 1}]});
    let mut route = named("route", "all", json!({kind: rule}));
    route["virtualRouterName"] = json!("r");
    route
}

fn service(provider: &str) -> Value {
    let provider = match provider {
        "r" => json!({"virtualRouter": {"virtualRouterName": "r"}}),
        name => json!({"virtualNode": {"virtualNodeName": name}}),
    };
    named("virtualService", "a.m.local", json!({"provider": provider}))
}

fn gateway(listeners: Value) -> Value {
    named("virtualGateway", "g", json!({"listeners": listeners}))
}

fn gateway_route(matches: Value) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": "a.m.local"}});
    let mut route =
        named("gatewayRoute", "all", json!({"httpRoute": {"match": matches, "action": {"target": target}}}));
    route["virtualGatewayName"] = json!("g");
    route
}

fn seconds(value: u32) -> Value {
    json!({"unit": "s", "value": value})
}

/// A listener with a health check.
fn checked(port: u16, protocol: &str, check: &Value) -> Value {
    let mut check = check.clone();
    for (member, value) in
        [("healthyThreshold", 2), ("unhealthyThreshold", 2), ("timeoutMillis", 2000), ("intervalMillis", 5000)]
    {
        check[member] = json!(value);
    }
    let mut listener = listener(port, protocol);
    listener["healthCheck"] = check;
    listener
}

/// The resources with their mesh, as API JSON.
fn api(resources: impl IntoIterator<Item = Value>) -> String {
    let mesh = json!({"meshName": "m", "spec": {}});
    Value::Array(std::iter::once(mesh).chain(resources).collect()).to_string()
}

#[test]
fn listeners_that_no_longer_fit_are_found_on_whatever_resource() {
    let two = || json!([listener(8080, "http"), listener(9090, "grpc")]);
    let one = || json!([listener(8080, "http")]);
    let any = || json!({"prefix": "/"});
    let table = [
        ("spec-refused", api([node("a", two()), service("a"), gateway(one()), gateway_route(any())])),
        (
            "route-target-not-listening",
            api([node("a", two()), router(one()), route("httpRoute", json!({"match": any()}))]),
        ),
        ("spec-refused", api([node("a", one()), router(two()), route("httpRoute", json!({"match": any()}))])),
        ("spec-refused", api([node("a", one()), service("a"), gateway(two()), gateway_route(any())])),
        (
            "route-kind-other-than-router",
            api([
                node("a", one()),
                router(json!([listener(8080, "tcp")])),
                route("httpRoute", json!({"match": any()})),
                service("r"),
                caller(),
            ]),
        ),
    ];
    found("a.json", &table);
}

#[test]
fn limits_along_the_call_path_are_compared() {
    let with = |protocol: &str, timeout: Value| {
        let mut listener = listener(8080, protocol);
        listener["timeout"] = json!({protocol: timeout});
        json!([listener])
    };
    let plain = |protocol: &str| json!([listener(8080, protocol)]);
    let path = |protocol: &str, listeners: Value, rule: Value| {
        let kind = format!("{protocol}Route");
        api([node("a", listeners), router(plain(protocol)), route(&kind, rule), service("r"), caller()])
    };
    let any = || json!({"prefix": "/"});
    let table = [
        (
            "listener-limit-without-effect",
            api([node("a", with("http", json!({"perRequest": seconds(60)}))), service("a"), caller()]),
        ),
        (
            "time-limit-cut-by-listener",
            path("http", plain("http"), json!({"match": any(), "timeout": {"perRequest": seconds(60)}})),
        ),
        (
            "idle-limit-cut-by-listener",
            path(
                "grpc",
                plain("grpc"),
                json!({"match": {}, "timeout": {"idle": seconds(3600), "perRequest": seconds(0)}}),
            ),
        ),
        ("idle-limit-cut-by-listener", path("tcp", plain("tcp"), json!({"timeout": {"idle": seconds(3600)}}))),
        (
            "idle-limit-cut-by-listener",
            path(
                "http2",
                with("http2", json!({"idle": {"unit": "ms", "value": 400_000}})),
                json!({"match": any(), "timeout": {"idle": seconds(600), "perRequest": seconds(600)}}),
            ),
        ),
    ];
    found("a.json", &table);
}

#[test]
fn values_that_are_refused_are_found_once() {
    let http = || json!([listener(8080, "http")]);
    let discovered = |discovery: Value| {
        let mut node = node("a", http());
        node["spec"]["serviceDiscovery"] = discovery;
        api([node])
    };
    let host = |host: &str| discovered(json!({"dns": {"hostname": host}}));
    let mut tls = listener(8080, "http");
    tls["tls"] = json!({"mode": "ENFORCED", "certificate": {"file": {"certificateChain": "/c", "privateKey": "/k"}}});
    let attributes = json!([{"key": "AWS_INSTANCE_IPV4", "value": "1"}]);
    let table = [
        ("spec-refused", api([node("a", json!([listener(443, "https")]))])),
        ("spec-refused", api([node("a", json!([listener(80, "HTTP")]))])),
        ("spec-refused", api([node("a", json!([tls]))])),
        ("spec-refused", json!({"meshName": "m", "spec": {"egressFilter": {"type": "drop_all"}}}).to_string()),
        ("spec-refused", api([node("a", json!([checked(8080, "http", &json!({"protocol": "http"}))]))])),
        ("spec-refused", api([gateway(json!([checked(80, "http2", &json!({"protocol": "http2", "path": ""}))]))])),
        (
            "health-check-grpc-without-http2",
            api([node("a", json!([checked(8080, "tcp", &json!({"protocol": "grpc"}))]))]),
        ),
        (
            "spec-refused",
            discovered(json!({"awsCloudMap": {"namespaceName": "n", "serviceName": "s", "attributes": attributes}})),
        ),
        ("spec-refused", host("a.local:8080")),
        ("spec-refused", host("http://a.local")),
        ("spec-refused", host("sp ace.local")),
        (
            "spec-refused",
            api([
                node("a", http()),
                service("a"),
                gateway(http()),
                gateway_route(json!({"hostname": {"exact": "*.example.com"}})),
            ]),
        ),
    ];
    found("a.json", &table);
    for (rule, text) in &table {
        let output = Folder::new(&[("a.json", text)]).json(&["."]);
        let other = if *rule == "spec-refused" { "health-check-grpc-without-http2" } else { "spec-refused" };
        assert!(!folder::rules(&output, "findings").contains(&other.to_owned()), "{text}: {output}");
    }
}

#[test]
fn plain_http_on_a_port_of_another_protocol_is_found() {
    for (port, protocol, is_found) in [
        (443, "http", true),
        (443, "http2", true),
        (5432, "http", true),
        (27017, "http", true),
        (443, "tcp", false),
        (8080, "http", false),
    ] {
        let text = api([node("a", json!([listener(port, protocol)])), service("a"), caller()]);
        let output = Folder::new(&[("a.json", &text)]).json(&["."]);
        let has = folder::rules(&output, "findings").contains(&"listener-protocol-unlike-port".to_owned());
        assert_eq!(has, is_found, "{protocol} on {port}: {output}");
    }
}

/// A host outside the mesh that is called with TLS, in the ways that people declare it.
#[test]
fn outside_host_behind_tls_is_no_broken_call() {
    let policy = json!({"tls": {"enforce": true, "validation": {"trust": {"file": {"certificateChain": "/ca.crt"}}}}});
    let call = |listener: Value, by_router: bool| {
        let mut outside = node("a", json!([listener]));
        outside["spec"]["serviceDiscovery"]["dns"]["hostname"] = json!("api.breeds.example");
        let mut caller = caller();
        caller["spec"]["backends"][0]["virtualService"]["clientPolicy"] = policy.clone();
        let rule = route("httpRoute", json!({"match": {"prefix": "/"}}));
        let provider = if by_router { "r" } else { "a" };
        api([outside, caller, service(provider), router(json!([listener_of(&listener)])), rule])
    };
    let mut limited = listener(443, "http");
    limited["timeout"] = json!({"http": {"perRequest": seconds(10)}});
    let mut internal = listener(8080, "http");
    internal["timeout"] = json!({"http": {"perRequest": seconds(10)}});
    for (name, listener, by_router, is_broken) in [
        ("plain", listener(443, "http"), false, false),
        ("by a router", listener(443, "http"), true, false),
        ("with a time limit", limited, false, false),
        ("http2", listener(8443, "http2"), false, false),
        // A separate proxy has the limit, and no TLS.
        ("another port", internal, false, true),
    ] {
        let output = Folder::new(&[("a.json", &call(listener, by_router))]).json(&["."]);
        let found = folder::rules(&output, "findings");
        assert_eq!(found.contains(&"edge-broken".to_owned()), is_broken, "{name}: {output}");
    }
}

/// The same port and protocol without limits, for a router.
fn listener_of(listener: &Value) -> Value {
    json!({"portMapping": listener["portMapping"]})
}

#[test]
fn host_that_a_gateway_route_wants_by_header_is_replaced() {
    let header = |name: &str, matched: Value| json!({"prefix": "/", "headers": [{"name": name, "match": matched}]});
    for (matches, is_found) in [
        (header("Host", json!({"exact": "www.example.com"})), true),
        (header("host", json!({"suffix": ".example.com"})), true),
        (header("Host", json!({"exact": "a.m.local"})), false),
        (header("Host", json!({"regex": ".*"})), false),
        (header("x-host", json!({"exact": "www.example.com"})), false),
    ] {
        let http = || json!([listener(8080, "http")]);
        let text = api([node("a", http()), service("a"), gateway(http()), gateway_route(matches.clone())]);
        let output = Folder::new(&[("a.json", &text)]).json(&["."]);
        let has = folder::rules(&output, "findings").contains(&"gateway-host-replaced".to_owned());
        assert_eq!(has, is_found, "{matches}: {output}");
    }
}

/// Members with the spelling of another format, and old member names.
#[test]
fn members_of_another_form_are_found() {
    let template = |kind: &str, properties: &str| {
        format!("Resources: {{R: {{Type: {kind}, Properties: {{MeshName: m, {properties}}}}}}}\n")
    };
    let router = "AWS::AppMesh::VirtualRouter";
    let table = [
        (
            "a.yaml",
            template(router, "VirtualRouterName: r, Spec: {Listener: [{PortMapping: {Port: 80, Protocol: http}}]}"),
            "write `Listeners`",
        ),
        ("a.yaml", template(router, "VirtualRouterName: r, Tags: [{key: a, value: b}], Spec: {}"), "write `Key`"),
        (
            "a.yaml",
            template("AWS::Appmesh::VirtualRouter", "VirtualRouterName: r"),
            "write `AWS::AppMesh::VirtualRouter`",
        ),
        (
            "a.json",
            named(
                "virtualNode",
                "a",
                json!({"listeners": [listener(80, "http")], "serviceDiscovery": {"dns": {"serviceName": "a"}}}),
            )
            .to_string(),
            "hostname",
        ),
        (
            "a.yaml",
            "apiVersion: appmesh.k8s.aws/v1beta2\nkind: VirtualNode\nmetadata: {name: a, namespace: lab}\nspec:\n  \
             backendDefaults: {clientPolicy: {tls: {enforce: 'true', validation: {trust: {sds: {secretName: a}}}}}}\n"
                .to_owned(),
            "true or false",
        ),
        (
            "a.json",
            json!({"meshName": "m", "spec": {}, "tags": [{"Key": "team", "Value": "shop"}]}).to_string(),
            "write `key`",
        ),
        (
            "a.json",
            json!({"meshName": "arn:aws:appmesh:eu-west-1:123456789012:mesh/m", "virtualNodeName": "a", "spec": {}})
                .to_string(),
            "remove it from `arn:aws:appmesh",
        ),
    ];
    for (file, text, expected) in table {
        let (status, output) = Folder::new(&[(file, &text)]).check(&["."]);
        assert!(status != 0 && output.contains(expected), "{text}: {status} {output}");
    }
}

/// Asserts that each text has a finding of the rule.
fn found(file: &str, table: &[(&str, String)]) {
    for (rule, text) in table {
        let output = Folder::new(&[(file, text)]).json(&["."]);
        assert!(folder::rules(&output, "findings").contains(&(*rule).to_owned()), "{rule}: {text}: {output}");
    }
}
