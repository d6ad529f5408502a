//! A part of a mesh that Envoy would refuse is left out, and a finding reports it.

use serde_json::{Value, json};
use xds::finding;

use crate::shop::{colours, intercepted, mesh, node, with_instances};

/// The findings of a client of one service on one changed node.
fn findings_at_client(change: impl FnOnce(&mut Value)) -> Vec<&'static str> {
    let mut server = node();
    change(&mut server);
    let resources = json!({
        "virtualNode/client": {"backends": [{"virtualService": {"virtualServiceName": "s"}}]},
        "virtualNode/server": server,
        "virtualService/s": {"provider": {"virtualNode": {"virtualNodeName": "server"}}},
    });
    let translation = intercepted(&mesh(resources.as_object().unwrap()), "virtualNode/client");
    assert_eq!(translation.dangling(), Vec::<String>::new());
    translation.findings.iter().map(|finding| finding.id).collect()
}

#[test]
fn unusable_called_node_is_reported() {
    let health = |protocol: &str| json!({"protocol": protocol, "intervalMillis": 5000, "timeoutMillis": 2000, "healthyThreshold": 2, "unhealthyThreshold": 2});
    let outlier = |interval: u32| {
        json!({
            "maxServerErrors": 5, "interval": {"unit": "s", "value": interval},
            "baseEjectionDuration": {"unit": "s", "value": 10}, "maxEjectionPercent": 50,
        })
    };
    assert_eq!(findings_at_client(|_| {}), Vec::<&str>::new());
    assert_eq!(findings_at_client(|node| node["listeners"][0]["healthCheck"] = health("http")), Vec::<&str>::new());
    assert_eq!(
        findings_at_client(|node| node["listeners"][0]["healthCheck"] = health("grpc")),
        [finding::GRPC_HEALTH_CHECK]
    );
    assert_eq!(findings_at_client(|node| node["listeners"][0]["outlierDetection"] = outlier(10)), Vec::<&str>::new());
    assert_eq!(
        findings_at_client(|node| node["listeners"][0]["outlierDetection"] = outlier(0)),
        [finding::ZERO_INTERVAL]
    );
    assert_eq!(
        findings_at_client(|node| drop(node.as_object_mut().unwrap().remove("serviceDiscovery"))),
        [finding::NO_DISCOVERY]
    );
}

#[test]
fn unusable_route_is_reported() {
    let http = |matching: Value| json!({"httpRoute": {"match": matching, "action": {"weightedTargets": [{"virtualNode": "blue", "weight": 1}]}}});
    let mut events = http(json!({"prefix": "/"}));
    events["httpRoute"]["retryPolicy"] =
        json!({"httpRetryEvents": ["nonsense"], "maxRetries": 1, "perRetryTimeout": {"unit": "s", "value": 1}});
    let dangling = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "gone", "weight": 1}]}}});
    let tcp = json!({"tcpRoute": {"action": {"weightedTargets": [{"virtualNode": "blue", "weight": 1}]}}});
    let cases = [
        (http(json!({"prefix": "/"})), None),
        (http(json!({"path": {"regex": "(?=look)"}})), Some(finding::UNSUPPORTED_REGEX)),
        (
            http(json!({"prefix": "/", "headers": [{"name": "h", "match": {"regex": "(a"}}]})),
            Some(finding::UNSUPPORTED_REGEX),
        ),
        (events, Some(finding::UNKNOWN_RETRY_EVENT)),
        (dangling, Some(finding::DANGLING_TARGET)),
        (tcp, Some(finding::ROUTE_PROTOCOL)),
    ];
    for (spec, expected) in cases {
        let translation = intercepted(&mesh(&colours("http", &[("route", spec.clone())])), "virtualNode/client");
        let ids: Vec<&str> = translation.findings.iter().map(|finding| finding.id).collect();
        assert_eq!(ids, Vec::from_iter(expected), "{spec}");
        assert_eq!(translation.dangling(), Vec::<String>::new());
    }
}

#[test]
fn conflicting_and_missing_backends_are_reported() {
    let tcp = json!({
        "listeners": [{"portMapping": {"port": 5432, "protocol": "tcp"}}],
        "serviceDiscovery": {"dns": {"hostname": "db.local"}},
    });
    let backend = |name: &str| json!({"virtualService": {"virtualServiceName": name}});
    let service = |node: &str| json!({"provider": {"virtualNode": {"virtualNodeName": node}}});
    let resources = json!({
        "virtualNode/client": {"backends": [backend("one"), backend("two"), backend("missing")]},
        "virtualNode/first": tcp,
        "virtualNode/second": tcp,
        "virtualService/one": service("first"),
        "virtualService/two": service("second"),
    });
    let translation = intercepted(&mesh(resources.as_object().unwrap()), "virtualNode/client");
    let ids: Vec<&str> = translation.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, [finding::DANGLING_BACKEND, finding::PORT_CONFLICT]);
    assert_eq!(translation.dangling(), Vec::<String>::new());
}

#[test]
fn invalid_access_log_format_is_reported() {
    let log = |format: Value| {
        let resources =
            json!({"virtualNode/a": {"logging": {"accessLog": {"file": {"path": "/dev/stdout", "format": format}}}}});
        let translation = intercepted(&mesh(resources.as_object().unwrap()), "virtualNode/a");
        translation.findings.iter().map(|finding| finding.id).collect::<Vec<_>>()
    };
    assert_eq!(log(json!({"text": "%START_TIME% %REQ(:PATH)%"})), Vec::<&str>::new());
    assert_eq!(log(json!({"text": "%NONSENSE%"})), [finding::BAD_LOG_FORMAT]);
    assert_eq!(log(json!({"json": [{"key": "k", "value": "%REQ(X"}]})), [finding::BAD_LOG_FORMAT]);
}

#[test]
fn nameless_secret_is_reported_and_its_user_left_out() {
    let sds = |name: &str| json!({"sds": {"secretName": name}});
    let acm = |arn: &str| json!({"acm": {"certificateArn": arn}});
    // The certificate and trust of the server, and the certificate and trust of the client.
    let found = |certificate: Value, trust: &str, presented: &str, trusted: &str| {
        let tls = json!({"mode": "STRICT", "certificate": certificate, "validation": {"trust": sds(trust)}});
        let mut server = node();
        server["listeners"][0]["tls"] = tls;
        let policy = json!({"tls": {"certificate": sds(presented), "validation": {"trust": sds(trusted)}}});
        let resources = json!({
            "virtualNode/client": {"backends": [{"virtualService": {"virtualServiceName": "s", "clientPolicy": policy}}]},
            "virtualNode/server": server,
            "virtualService/s": {"provider": {"virtualNode": {"virtualNodeName": "server"}}},
        });
        let mesh = mesh(resources.as_object().unwrap());
        ["virtualNode/server", "virtualNode/client"].map(|proxy| {
            let translation = intercepted(&mesh, proxy);
            assert_eq!(translation.dangling(), Vec::<String>::new());
            let ids: Vec<&str> = translation.findings.iter().map(|finding| finding.id).collect();
            let called = translation.clusters.contains_key("cds_egress_shop_server_http_8080");
            let listens = translation.listeners.contains_key("lds_ingress_0.0.0.0_15000");
            (ids, listens || called)
        })
    };
    let (well, left_out) = ((vec![], true), (vec![finding::NAMELESS_SECRET], false));
    // A client without its certificate still calls, because the server decides whether it requires one.
    let bare = (vec![finding::NAMELESS_SECRET], true);
    assert_eq!(found(sds("a"), "b", "c", "d"), [well.clone(), well.clone()]);
    assert_eq!(found(sds(""), "b", "c", "d"), [left_out.clone(), well.clone()]);
    assert_eq!(found(acm(""), "b", "c", "d"), [left_out.clone(), well.clone()]);
    assert_eq!(found(sds("a"), "", "c", "d"), [left_out.clone(), well.clone()]);
    assert_eq!(found(sds("a"), "b", "", "d"), [well.clone(), bare]);
    assert_eq!(found(sds("a"), "b", "c", ""), [well, left_out]);
}

#[test]
fn attributes_without_matching_instance_are_reported() {
    let mut server = node();
    server["serviceDiscovery"] = json!({"awsCloudMap": {
        "namespaceName": "shop", "serviceName": "s", "attributes": [{"key": "version", "value": "v2"}],
    }});
    let resources = json!({
        "virtualNode/client": {"backends": [{"virtualService": {"virtualServiceName": "s"}}]},
        "virtualNode/server": server,
        "virtualService/s": {"provider": {"virtualNode": {"virtualNodeName": "server"}}},
    });
    let mesh = mesh(resources.as_object().unwrap());
    let found = |versions: &[&str]| {
        let instances = versions.iter().map(|version| xds::Instance {
            ipv4: Some([10, 0, 0, 1].into()),
            ipv6: None,
            attributes: [("version".to_owned(), (*version).to_owned())].into(),
        });
        let instances = [(("shop".to_owned(), "s".to_owned()), instances.collect())].into();
        let translation = with_instances(&mesh, "virtualNode/client", &instances);
        translation.findings.iter().map(|finding| finding.id).collect::<Vec<_>>()
    };
    assert_eq!(found(&["v1", "v3"]), [finding::NO_INSTANCE_MATCHES]);
    assert_eq!(found(&["v1", "v2"]), Vec::<&str>::new());
    // A service without instances is not a problem of the node's attributes.
    assert_eq!(found(&[]), Vec::<&str>::new());
}
