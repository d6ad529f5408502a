//! Calls to hosts outside the mesh, at which no proxy runs.

use mesh::certificates::Readings;
use policy::edges::{UnknownEdgeFact, edges_by_policy};
use policy::{EgressPolicy, HostPattern};
use serde_json::{Value, json};

use super::authority::now;
use super::samples::{mesh, verdict_text};

/// The verdict on a call of `web` to `api`, which is found by this host name; `merged` is put into its spec.
fn verdict(host: &str, protocol: &str, tls: bool, merged: &Value, policy: &EgressPolicy) -> (String, bool) {
    let mut backend = json!({"virtualServiceName": "api.example"});
    if tls {
        let trust = json!({"trust": {"file": {"certificateChain": "/ca.pem"}}});
        backend["clientPolicy"] = json!({"tls": {"enforce": true, "validation": trust}});
    }
    let mut api = json!({
        "listeners": [{"portMapping": {"port": 443, "protocol": protocol}}],
        "serviceDiscovery": {"dns": {"hostname": host}},
    });
    api.as_object_mut().unwrap().extend(merged.as_object().unwrap().clone());
    let mesh = mesh(&[
        (
            "virtualNode/web",
            json!({
                "backends": [{"virtualService": backend}],
                "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
                "serviceDiscovery": {"dns": {"hostname": "web.shop.example.com"}},
            }),
        ),
        ("virtualNode/api", api),
        ("virtualService/api.example", json!({"provider": {"virtualNode": {"virtualNodeName": "api"}}})),
    ]);
    let edges = edges_by_policy(&mesh, &Readings::default(), policy, now());
    assert_eq!(edges.len(), 1, "{edges:?}");
    let is_outside = edges[0].unknown.iter().any(|unknown| matches!(unknown, UnknownEdgeFact::OutsideMesh { .. }));
    (verdict_text(&edges[0]), is_outside)
}

#[test]
fn call_to_a_host_outside_is_as_its_client_makes_it_and_never_proven() {
    let none = json!({});
    let policy = EgressPolicy::default();
    for (host, protocol, tls, merged, expected, is_outside) in [
        ("api.breeds.example", "http", true, none.clone(), "tls", true),
        ("api.breeds.example.", "http2", true, none.clone(), "tls", true),
        ("api.breeds.example", "http", false, none.clone(), "plaintext", true),
        ("api.breeds.example", "tcp", false, none.clone(), "plaintext", true),
        // By its name it is inside.
        ("api.shop.local", "http", true, none.clone(), "broken tls-not-served", false),
        ("api", "http", true, none.clone(), "broken tls-not-served", false),
        // By its spec it has a proxy.
        (
            "api.breeds.example",
            "http",
            true,
            json!({"logging": {"accessLog": {"file": {"path": "/dev/stdout"}}}}),
            "broken tls-not-served",
            false,
        ),
        (
            "api.breeds.example",
            "http",
            true,
            json!({"backends": [{"virtualService": {"virtualServiceName": "x"}}]}),
            "broken tls-not-served",
            false,
        ),
        // By its domain, below which a node with a proxy is.
        ("api.shop.example.com", "http", true, none, "broken tls-not-served", false),
    ] {
        let (verdict, outside) = verdict(host, protocol, tls, &merged, &policy);
        assert_eq!((verdict.as_str(), outside), (expected, is_outside), "{host} {protocol} {tls} {merged}");
    }
}

#[test]
fn policy_declares_hosts_outside() {
    let declared = |pattern: &str| EgressPolicy {
        external: vec![HostPattern::try_from(pattern.to_owned()).unwrap()],
        ..EgressPolicy::default()
    };
    let logs = json!({"logging": {"accessLog": {"file": {"path": "/dev/stdout"}}}});
    for (host, pattern, expected) in [
        ("api.breeds.example", "api.breeds.example", "tls"),
        ("api.shop.example.com", "*.shop.example.com", "tls"),
        ("api.shop.local", "api.shop.local", "tls"),
        ("api.breeds.example", "other.example", "broken tls-not-served"),
    ] {
        let (verdict, _) = verdict(host, "http", true, &logs, &declared(pattern));
        assert_eq!(verdict, expected, "{host} by {pattern}");
    }
}
