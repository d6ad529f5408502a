//! One write for each refusal of the API: the resources before it, and the written one. The API tests send them, and the
//! tests of `check` read the result in every form of file.

use serde_json::{Value, json};

/// A write that the API refuses.
#[derive(Debug)]
pub(crate) struct Example {
    /// The code of the refusal.
    pub(crate) code: &'static str,
    /// Resources that exist before, parents first, by path below the mesh.
    pub(crate) before: Vec<(&'static str, Value)>,
    /// The resource that is written.
    pub(crate) written: (&'static str, Value),
    /// The member that the answer names.
    pub(crate) member: &'static str,
    /// The rule of `check` with the same finding in files.
    pub(crate) rule: &'static str,
}

const NODE: &str = "virtualNode/a";
const ROUTER: &str = "virtualRouter/r";
const ROUTE: &str = "virtualRouter/r/route/all";
const SERVICE: &str = "virtualService/a.local";
const GATEWAY: &str = "virtualGateway/g";
const GATEWAY_ROUTE: &str = "virtualGateway/g/gatewayRoute/all";

fn listener(port: u16, protocol: &str) -> Value {
    json!({"portMapping": {"port": port, "protocol": protocol}})
}

fn node(listeners: &[Value]) -> Value {
    json!({"listeners": listeners, "serviceDiscovery": {"dns": {"hostname": "a.shop.local"}}})
}

fn router(listeners: &[Value]) -> Value {
    json!({"listeners": listeners})
}

fn http() -> Value {
    listener(8080, "http")
}

fn with(mut value: Value, member: &str, more: Value) -> Value {
    value[member] = more;
    value
}

fn check(protocol: &str, more: (&str, Value)) -> Value {
    let check = json!({"protocol": protocol, "healthyThreshold": 2, "unhealthyThreshold": 2, "timeoutMillis": 2000,
        "intervalMillis": 5000});
    with(check, more.0, more.1)
}

fn route(kind: &str, matches: &Value) -> Value {
    json!({kind: {"match": matches, "action": {"weightedTargets": [{"virtualNode": "a", "weight": 1}]}}})
}

fn gateway_route(kind: &str, matches: &Value, rewrite: &Value) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": "a.local"}});
    let action =
        if rewrite.is_null() { json!({"target": target}) } else { json!({"target": target, "rewrite": rewrite}) };
    json!({kind: {"match": matches, "action": action}})
}

fn provided_by_node() -> Value {
    json!({"provider": {"virtualNode": {"virtualNodeName": "a"}}})
}

/// Each refusal at least once.
pub(crate) fn examples() -> Vec<Example> {
    let mut all = of_documents();
    all.extend(of_single_specs());
    all.extend(refused_by_envoy());
    all.extend(between_resources());
    all
}

fn example(code: &'static str, written: (&'static str, Value), member: &'static str) -> Example {
    let before = match written.0 {
        ROUTE => vec![(NODE, node(&[http()])), (ROUTER, router(&[http()]))],
        GATEWAY_ROUTE => {
            vec![(NODE, node(&[http()])), (SERVICE, provided_by_node()), (GATEWAY, router(&[http()]))]
        }
        _ => Vec::new(),
    };
    Example { code, before, written, member, rule: "spec-refused" }
}

/// The shape of a document: types, required and unknown members, unions, enumerations, bounds, names.
fn of_documents() -> Vec<Example> {
    let weights = |weight: Value| {
        let mut spec = route("httpRoute", &json!({"prefix": "/"}));
        spec["httpRoute"]["action"]["weightedTargets"][0]["weight"] = weight;
        spec
    };
    let weight = "spec.httpRoute.action.weightedTargets[0].weight";
    let retries = |unit: &str| {
        let mut spec = route("httpRoute", &json!({"prefix": "/"}));
        let timeout = json!({"unit": unit, "value": 2});
        spec["httpRoute"]["retryPolicy"] =
            json!({"maxRetries": 2, "perRetryTimeout": timeout, "tcpRetryEvents": ["connection-error"]});
        spec
    };
    let mut two_kinds = route("httpRoute", &json!({"prefix": "/"}));
    two_kinds["tcpRoute"] = route("tcpRoute", &json!({}))["tcpRoute"].clone();
    vec![
        example("wrong-type", (ROUTE, weights(json!({"of": 1}))), weight),
        example(
            "member-required",
            (NODE, node(&[json!({"portMapping": {"port": 8080}})])),
            "spec.listeners[0].portMapping.protocol",
        ),
        example("member-unknown", (NODE, with(node(&[http()]), "replicas", json!(2))), "spec.replicas"),
        example("not-one-member", (ROUTE, two_kinds), "spec"),
        example("value-unknown", (NODE, node(&[listener(443, "https")])), "spec.listeners[0].portMapping.protocol"),
        example("value-unknown", ("", json!({"egressFilter": {"type": "DENY_ALL"}})), "spec.egressFilter.type"),
        example(
            "value-unknown",
            (ROUTE, route("httpRoute", &json!({"prefix": "/", "method": "get"}))),
            "spec.httpRoute.match.method",
        ),
        example("value-unknown", (ROUTE, retries("seconds")), "spec.httpRoute.retryPolicy.perRetryTimeout.unit"),
        example("not-whole", (ROUTE, weights(json!(1.5))), weight),
        example("out-of-bounds", (ROUTE, weights(json!(101))), weight),
        example(
            "malformed",
            (GATEWAY_ROUTE, {
                let mut spec = gateway_route("httpRoute", &json!({"prefix": "/"}), &Value::Null);
                spec["httpRoute"]["action"]["target"]["virtualService"]["virtualServiceName"] = json!("");
                spec
            }),
            "spec.httpRoute.action.target.virtualService.virtualServiceName",
        ),
    ]
}

/// Rules between the members of one spec.
fn of_single_specs() -> Vec<Example> {
    let checked = |protocol: &str, check: Value| node(&[with(listener(8080, protocol), "healthCheck", check)]);
    let pool = json!({"tcp": {"maxConnections": 1}});
    let attributes = json!([{"key": "AWS_INSTANCE_PORT", "value": "80"}]);
    let cloud_map =
        json!({"awsCloudMap": {"namespaceName": "shop.local", "serviceName": "a", "attributes": attributes}});
    let range = json!([{"name": "n", "match": {"range": {"start": 5, "end": 5}}}]);
    let matched = |matches: Value| (ROUTE, route("httpRoute", &matches));
    let gateway_match = |matches: Value| (GATEWAY_ROUTE, gateway_route("httpRoute", &matches, &Value::Null));
    vec![
        example("discovery-required", (NODE, router(&[http()])), "spec.serviceDiscovery"),
        example(
            "limits-of-other-protocol",
            (NODE, node(&[with(http(), "connectionPool", pool)])),
            "spec.listeners[0].connectionPool.tcp",
        ),
        example(
            "health-check-port",
            (NODE, checked("http", with(check("http", ("path", json!("/"))), "port", json!(81)))),
            "spec.listeners[0].healthCheck.port",
        ),
        example(
            "health-check-path-required",
            (NODE, checked("http2", check("http2", ("port", json!(8080))))),
            "spec.listeners[0].healthCheck.path",
        ),
        Example {
            rule: "health-check-grpc-without-http2",
            ..example(
                "health-check-without-http2",
                (GATEWAY, router(&[with(http(), "healthCheck", check("grpc", ("port", json!(8080))))])),
                "spec.listeners[0].healthCheck.protocol",
            )
        },
        example(
            "attribute-reserved",
            (NODE, with(node(&[http()]), "serviceDiscovery", cloud_map)),
            "spec.serviceDiscovery.awsCloudMap.attributes[0].key",
        ),
        example(
            "hostname",
            (NODE, with(node(&[http()]), "serviceDiscovery", json!({"dns": {"hostname": "sp ace.local"}}))),
            "spec.serviceDiscovery.dns.hostname",
        ),
        example(
            "hostname",
            (NODE, with(node(&[http()]), "serviceDiscovery", json!({"dns": {"hostname": (["a"; 128].join("."))}}))),
            "spec.serviceDiscovery.dns.hostname",
        ),
        example(
            "hostname",
            gateway_match(json!({"hostname": {"exact": "shop.example:8080"}})),
            "spec.httpRoute.match.hostname.exact",
        ),
        example(
            "hostname",
            gateway_match(json!({"hostname": {"suffix": "*"}})),
            "spec.httpRoute.match.hostname.suffix",
        ),
        example("port-twice", (ROUTER, router(&[http(), http()])), "spec.listeners[1].portMapping.port"),
        example("prefix-without-slash", matched(json!({"prefix": "a"})), "spec.httpRoute.match.prefix"),
        example(
            "prefix-and-path",
            matched(json!({"prefix": "/", "path": {"exact": "/a"}})),
            "spec.httpRoute.match.path",
        ),
        example(
            "range-empty",
            matched(json!({"prefix": "/", "headers": range})),
            "spec.httpRoute.match.headers[0].match.range.end",
        ),
        example(
            "service-name-required",
            (ROUTE, route("grpcRoute", &json!({"methodName": "Pay"}))),
            "spec.grpcRoute.match.serviceName",
        ),
        example("match-empty", gateway_match(json!({"method": "GET"})), "spec.httpRoute.match"),
        example("reserved", gateway_match(json!({"prefix": "/aws-appmesh/x"})), "spec.httpRoute.match.prefix"),
        example(
            "rewrite-without-slashes",
            (GATEWAY_ROUTE, gateway_route("httpRoute", &json!({"prefix": "/a"}), &json!({"prefix": {"value": "/b"}}))),
            "spec.httpRoute.action.rewrite.prefix.value",
        ),
    ]
}

/// Values for which a proxy would refuse the whole listener, cluster or route configuration.
#[expect(clippy::too_many_lines, reason = "a table, a row for each refusal")]
fn refused_by_envoy() -> Vec<Example> {
    let matched = |matches: Value| (ROUTE, route("httpRoute", &matches));
    let gateway_match =
        |matches: Value, rewrite: Value| (GATEWAY_ROUTE, gateway_route("httpRoute", &matches, &rewrite));
    let logging = |file: Value| (NODE, with(node(&[http()]), "logging", json!({"accessLog": {"file": file}})));
    let strict = |certificate: Value| json!({"mode": "STRICT", "certificate": certificate});
    let nameless = json!({"sds": {"secretName": ""}});
    let policy = json!({"tls": {"validation": {"trust": nameless}}});
    let backends = |names: [&str; 2]| {
        let backend = |name: &str| json!({"virtualService": {"virtualServiceName": name}});
        with(node(&[http()]), "backends", names.into_iter().map(backend).collect())
    };
    let header = json!({"name": "h", "match": {"regex": "a**"}});
    let metadata = json!([{"name": "a\nb"}]);
    let to_all = {
        let (_, mut spec) = gateway_match(json!({"prefix": "/"}), Value::Null);
        spec["httpRoute"]["action"]["target"]["virtualService"]["virtualServiceName"] = json!("*");
        spec
    };
    let retries = {
        let (_, mut spec) = matched(json!({"prefix": "/"}));
        spec["httpRoute"]["retryPolicy"] =
            json!({"maxRetries": 2, "perRetryTimeout": {"unit": "s", "value": 2}, "httpRetryEvents": ["5xx"]});
        spec
    };
    vec![
        example("regex", matched(json!({"path": {"regex": "/(?=a)"}})), "spec.httpRoute.match.path.regex"),
        example(
            "regex",
            gateway_match(json!({"prefix": "/", "headers": [header]}), Value::Null),
            "spec.httpRoute.match.headers[0].match.regex",
        ),
        example(
            "log-format",
            logging(json!({"path": "/dev/stdout", "format": {"text": "%NONSENSE%"}})),
            "spec.logging.accessLog.file.format.text",
        ),
        example(
            "log-format",
            (GATEWAY, {
                let file = json!({"path": "/dev/stdout", "format": {"json": [{"key": "k", "value": "%REQ(X"}]}});
                with(router(&[http()]), "logging", json!({"accessLog": {"file": file}}))
            }),
            "spec.logging.accessLog.file.format.json[0].value",
        ),
        example("log-path", logging(json!({"path": "/var/log/"})), "spec.logging.accessLog.file.path"),
        example(
            "secret-unnamed",
            (NODE, node(&[with(http(), "tls", strict(nameless.clone()))])),
            "spec.listeners[0].tls.certificate.sds.secretName",
        ),
        example(
            "secret-unnamed",
            (GATEWAY, router(&[with(http(), "tls", strict(json!({"acm": {"certificateArn": ""}})))])),
            "spec.listeners[0].tls.certificate.acm.certificateArn",
        ),
        example(
            "secret-unnamed",
            (NODE, with(node(&[http()]), "backendDefaults", json!({"clientPolicy": policy}))),
            "spec.backendDefaults.clientPolicy.tls.validation.trust.sds.secretName",
        ),
        example(
            "control-character",
            (NODE, node(&[with(http(), "healthCheck", check("http", ("path", json!("/a\nb"))))])),
            "spec.listeners[0].healthCheck.path",
        ),
        example(
            "control-character",
            (ROUTE, route("grpcRoute", &json!({"metadata": metadata}))),
            "spec.grpcRoute.match.metadata[0].name",
        ),
        example(
            "control-character",
            gateway_match(json!({"prefix": "/a"}), json!({"path": {"exact": "/a\r"}})),
            "spec.httpRoute.action.rewrite.path.exact",
        ),
        example(
            "out-of-bounds",
            matched(json!({"prefix": "/", "queryParameters": [{"name": "q".repeat(1025)}]})),
            "spec.httpRoute.match.queryParameters[0].name",
        ),
        example("value-unknown", (ROUTE, retries), "spec.httpRoute.retryPolicy.httpRetryEvents[0]"),
        example(
            "rewrite-without-prefix",
            gateway_match(json!({"path": {"exact": "/a"}}), json!({"prefix": {"value": "/b/"}})),
            "spec.httpRoute.action.rewrite.prefix.value",
        ),
        example("port-of-proxy", (GATEWAY, router(&[listener(15_001, "http")])), "spec.listeners[0].portMapping.port"),
        example(
            "same-host",
            (NODE, backends(["a.local", "A.local"])),
            "spec.backends[1].virtualService.virtualServiceName",
        ),
        Example {
            before: vec![
                (NODE, node(&[http()])),
                (SERVICE, provided_by_node()),
                ("virtualService/A.local", provided_by_node()),
                (GATEWAY, router(&[http()])),
                (GATEWAY_ROUTE, gateway_route("httpRoute", &json!({"prefix": "/"}), &Value::Null)),
            ],
            ..example(
                "same-host",
                ("virtualGateway/g/gatewayRoute/other", {
                    let (_, mut spec) = gateway_match(json!({"prefix": "/other"}), Value::Null);
                    spec["httpRoute"]["action"]["target"]["virtualService"]["virtualServiceName"] = json!("A.local");
                    spec
                }),
                "spec.httpRoute.action.target.virtualService.virtualServiceName",
            )
        },
        Example {
            before: vec![
                (NODE, node(&[http()])),
                ("virtualService/*", provided_by_node()),
                (GATEWAY, router(&[http()])),
            ],
            ..example(
                "hostname",
                (GATEWAY_ROUTE, to_all),
                "spec.httpRoute.action.target.virtualService.virtualServiceName",
            )
        },
    ]
}

/// Rules between resources, whichever of them is written.
fn between_resources() -> Vec<Example> {
    let two = || vec![http(), listener(9090, "http")];
    let any = || json!({"prefix": "/"});
    let shop = || {
        vec![
            (NODE, node(&[http()])),
            (ROUTER, router(&[http()])),
            (ROUTE, route("httpRoute", &any())),
            (SERVICE, provided_by_node()),
            (GATEWAY, router(&[http()])),
            (GATEWAY_ROUTE, gateway_route("httpRoute", &any(), &Value::Null)),
        ]
    };
    let of = |code, before, written, member, rule| Example { code, before, written, member, rule };
    let listeners = "spec.listeners";
    let to_bytes =
        vec![(NODE, node(&[listener(8080, "tcp")])), (SERVICE, provided_by_node()), (GATEWAY, router(&[http()]))];
    let through = vec![(NODE, node(&[http()])), (ROUTER, router(&[http()])), (ROUTE, route("httpRoute", &any()))];
    vec![
        of(
            "port-not-listening",
            vec![(NODE, node(&[http()])), (ROUTER, router(&[http()]))],
            (ROUTE, route("httpRoute", &json!({"prefix": "/", "port": 81}))),
            "spec.httpRoute.match.port",
            "spec-refused",
        ),
        of(
            "port-required",
            vec![(NODE, node(&[http()])), (ROUTER, router(&two()))],
            (ROUTE, route("httpRoute", &any())),
            "spec.httpRoute.match.port",
            "spec-refused",
        ),
        of(
            "target-speaks-tcp",
            to_bytes,
            (GATEWAY_ROUTE, gateway_route("httpRoute", &any(), &Value::Null)),
            "spec.httpRoute.action.target.port",
            "spec-refused",
        ),
        of(
            "listener-speaks-other",
            through.clone(),
            (ROUTER, router(&[listener(8080, "tcp")])),
            listeners,
            "route-kind-other-than-router",
        ),
        of("no-listener-left", through, (NODE, json!({})), listeners, "route-target-not-listening"),
        of("breaks-reference", shop(), (NODE, node(&two())), listeners, "spec-refused"),
        of("breaks-reference", shop(), (GATEWAY, router(&two())), listeners, "spec-refused"),
        of("breaks-reference", shop(), (ROUTER, router(&two())), listeners, "spec-refused"),
    ]
}
