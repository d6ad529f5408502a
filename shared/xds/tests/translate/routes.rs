//! Routes: their order, weights, retries and timeouts.

use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use prost::Message as _;
use serde_json::{Value, json};
use xds::Translation;

use crate::shop::{colours, intercepted, mesh};

fn http(matching: Value) -> Value {
    json!({"httpRoute": {"match": matching, "action": {"weightedTargets": [{"virtualNode": "blue", "weight": 1}]}}})
}

fn client(protocol: &str, routes: &[(&str, Value)]) -> Translation {
    intercepted(&mesh(&colours(protocol, routes)), "virtualNode/client")
}

fn routes_of(translation: &Translation) -> &[Route] {
    &translation.routes["rds_egress_http_80"].virtual_hosts[0].routes
}

fn action(route: &Route) -> &RouteAction {
    match route.action.as_ref().unwrap() {
        Action::Route(action) => action,
        other => panic!("{other:?}"),
    }
}

fn path(route: &Route) -> String {
    match route.r#match.as_ref().unwrap().path_specifier.as_ref().unwrap() {
        PathSpecifier::Prefix(prefix) => format!("{prefix}*"),
        PathSpecifier::Path(path) => path.clone(),
        PathSpecifier::SafeRegex(regex) => format!("~{}", regex.regex),
        other => panic!("{other:?}"),
    }
}

#[test]
fn routes_are_ordered_by_priority_then_specificity() {
    let with_priority = |priority: u32, mut spec: Value| {
        spec["priority"] = json!(priority);
        spec
    };
    let translation = client(
        "http",
        &[
            ("a", http(json!({"prefix": "/"}))),
            ("b", http(json!({"prefix": "/longer"}))),
            ("c", http(json!({"path": {"regex": "/r.*"}}))),
            ("d", http(json!({"path": {"exact": "/exact"}}))),
            ("e", with_priority(1000, http(json!({"prefix": "/last"})))),
            ("f", with_priority(0, http(json!({"prefix": "/first"})))),
        ],
    );
    let paths: Vec<String> = routes_of(&translation).iter().map(path).collect();
    assert_eq!(paths, ["/first*", "/last*", "/exact", "~/r.*", "/longer*", "/*"]);
}

#[test]
fn weights_are_unchanged_including_zero() {
    let targets = json!([{"virtualNode": "blue", "weight": 99}, {"virtualNode": "green", "weight": 0}]);
    let translation = client(
        "http",
        &[("all", json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}}))],
    );
    let Some(ClusterSpecifier::WeightedClusters(weighted)) = &action(&routes_of(&translation)[0]).cluster_specifier
    else {
        panic!("{translation:?}");
    };
    let weights: Vec<(&str, u32)> =
        weighted.clusters.iter().map(|to| (to.name.as_str(), to.weight.unwrap().value)).collect();
    assert_eq!(weights, [("cds_egress_shop_blue_http_8080", 99), ("cds_egress_shop_green_http_8080", 0)]);
}

#[test]
fn route_without_usable_target_returns_503() {
    for target in [json!({"virtualNode": "blue", "weight": 0}), json!({"virtualNode": "gone", "weight": 1})] {
        let spec = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [target]}}});
        let translation = client("http", &[("all", spec)]);
        let Some(Action::DirectResponse(answer)) = &routes_of(&translation)[0].action else {
            panic!("{translation:?}")
        };
        assert_eq!(answer.status, 503);
    }
}

#[test]
fn retries_are_the_app_mesh_default_or_as_configured() {
    let retry = |policy: Value| {
        let mut spec = http(json!({"prefix": "/"}));
        spec["httpRoute"]["retryPolicy"] = policy;
        spec
    };
    let policy = |events: Value, most: u32| {
        retry(json!({"httpRetryEvents": events, "maxRetries": most, "perRetryTimeout": {"unit": "ms", "value": 1500}}))
    };
    let connection = retry(json!({
        "tcpRetryEvents": ["connection-error"], "maxRetries": 3, "perRetryTimeout": {"unit": "s", "value": 1},
    }));
    let server: Vec<u32> = (500..=508).chain([510, 511]).collect();
    let cases = [
        (
            http(json!({"prefix": "/"})),
            "unavailable,connect-failure,refused-stream,reset,retriable-status-codes",
            2,
            vec![503],
        ),
        (policy(json!(["server-error"]), 1), "reset,retriable-status-codes", 1, server),
        (
            policy(json!(["gateway-error", "client-error", "stream-error"]), 4),
            "refused-stream,reset,retriable-status-codes",
            4,
            vec![409, 502, 503, 504],
        ),
        (connection, "connect-failure", 3, Vec::new()),
    ];
    for (spec, on, most, codes) in cases {
        let translation = client("http", &[("all", spec)]);
        let retries = action(&routes_of(&translation)[0]).retry_policy.clone().unwrap();
        assert_eq!((retries.retry_on.as_str(), retries.num_retries.unwrap().value), (on, most));
        assert_eq!(retries.retriable_status_codes, codes);
        assert_eq!(retries.host_selection_retry_max_attempts, 5);
        assert_eq!(retries.retry_host_predicate.len(), 1);
    }
    for none in [policy(json!(["server-error"]), 0), policy(json!(["nonsense"]), 3)] {
        let translation = client("http", &[("all", none)]);
        assert_eq!(action(&routes_of(&translation)[0]).retry_policy, None);
    }
}

#[test]
fn timeouts_are_15_s_and_300_s_or_as_configured() {
    let limits = |timeout: Option<Value>| {
        let mut spec = http(json!({"prefix": "/"}));
        if let Some(timeout) = timeout {
            spec["httpRoute"]["timeout"] = timeout;
        }
        let translation = client("http", &[("all", spec)]);
        let action = action(&routes_of(&translation)[0]).clone();
        let seconds = |d: envoy_types::pb::google::protobuf::Duration| (d.seconds, d.nanos);
        (seconds(action.timeout.unwrap()), seconds(action.idle_timeout.unwrap()))
    };
    let of = |unit: &str, value: u64| json!({"unit": unit, "value": value});
    assert_eq!(limits(None), ((15, 0), (300, 0)));
    assert_eq!(limits(Some(json!({"perRequest": of("ms", 1500)}))), ((1, 500_000_000), (300, 0)));
    assert_eq!(limits(Some(json!({"perRequest": of("s", 0), "idle": of("s", 7)}))), ((0, 0), (7, 0)));
    assert_eq!(limits(Some(json!({"perRequest": of("s", u64::from(u32::MAX) * 1000)}))).0.0, 31_536_000);
}

#[test]
fn service_without_routes_has_a_virtual_host_without_routes() {
    let translation = client("http", &[]);
    assert_eq!(routes_of(&translation), []);
    let hosts = &translation.routes["rds_egress_http_80"].virtual_hosts;
    assert_eq!(hosts[0].domains, ["colours", "colours:80"]);
}

#[test]
fn match_port_restricts_a_route_to_that_listener() {
    let mut resources = colours(
        "http",
        &[("for-81", {
            let mut spec = http(json!({"prefix": "/"}));
            spec["httpRoute"]["match"]["port"] = json!(81);
            spec
        })],
    );
    resources["virtualRouter/colours"] = json!({"listeners": [
        {"portMapping": {"port": 80, "protocol": "http"}}, {"portMapping": {"port": 81, "protocol": "http"}},
    ]});
    let translation = intercepted(&mesh(&resources), "virtualNode/client");
    assert_eq!(translation.routes["rds_egress_http_80"].virtual_hosts[0].routes.len(), 0);
    assert_eq!(translation.routes["rds_egress_http_81"].virtual_hosts[0].routes.len(), 1);
}

/// The cluster of a call to `blue` with TLS, and the protocols that it negotiates within TLS.
fn negotiated(kind: &str, on_router: &str, of_node: &str, health_check: Value) -> (String, Vec<String>) {
    let action = json!({"weightedTargets": [{"virtualNode": "blue", "weight": 1}]});
    let spec = if kind == "tcpRoute" {
        json!({ "action": action })
    } else {
        json!({"match": {"prefix": "/"}, "action": action})
    };
    let mut specs = colours(on_router, &[("all", json!({ kind: spec }))]);
    let listener = &mut specs["virtualNode/blue"]["listeners"][0];
    listener["portMapping"]["protocol"] = json!(of_node);
    listener["healthCheck"] = health_check;
    listener["tls"] = json!({
        "mode": "STRICT", "certificate": {"file": {"certificateChain": "/c.pem", "privateKey": "/k.pem"}},
    });
    let translation = intercepted(&mesh(&specs), "virtualNode/client");
    assert_eq!(translation.findings, []);
    let mut calls = translation.clusters.values().filter(|cluster| cluster.name.starts_with("cds_egress_shop_blue_"));
    let cluster = calls.next().unwrap();
    assert_eq!(calls.count(), 0);
    let Some(ConfigType::TypedConfig(config)) = &cluster.transport_socket.as_ref().unwrap().config_type else {
        panic!("{cluster:?}");
    };
    let context = UpstreamTlsContext::decode(config.value.as_slice()).unwrap();
    (cluster.name.clone(), context.common_tls_context.unwrap().alpn_protocols)
}

#[test]
fn connections_negotiate_no_protocol_within_tls() {
    let grpc_check = json!({
        "protocol": "grpc", "healthyThreshold": 2, "unhealthyThreshold": 2, "intervalMillis": 5000, "timeoutMillis": 2000,
    });
    for (kind, on_router, of_node, check, name, protocols) in [
        ("http2Route", "http2", "http2", Value::Null, "cds_egress_shop_blue_http2_8080", &["h2"][..]),
        ("httpRoute", "http", "http", Value::Null, "cds_egress_shop_blue_http_8080", &["http/1.1"]),
        // The client may send HTTP/1.1 or HTTP/2 within the connection, and the listener distinguishes them.
        ("tcpRoute", "tcp", "http2", Value::Null, "cds_egress_shop_blue_tcp_8080", &[]),
        ("tcpRoute", "tcp", "http", Value::Null, "cds_egress_shop_blue_tcp_8080", &[]),
        ("tcpRoute", "tcp", "tcp", Value::Null, "cds_egress_shop_blue_tcp_8080", &[]),
        ("tcpRoute", "tcp", "grpc", grpc_check, "cds_egress_shop_blue_tcp_8080", &[]),
    ] {
        let expected = (name.to_owned(), protocols.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(negotiated(kind, on_router, of_node, check), expected, "{kind} to {of_node}");
    }
}
