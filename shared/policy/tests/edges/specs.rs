//! The TLS verdicts from the specs alone.

use mesh::certificates::Readings;
use policy::edges::edges;
use serde_json::{Value, json};

use super::authority::now;
use super::samples::{acm, mesh, one_edge, pair, trust, verdict_text};

const NOTHING: Value = Value::Null;

#[test]
fn policy_and_listener_give_the_verdict() {
    let sds = json!({"sds": {"secretName": "spiffe://shop/orders"}});
    let mut validation = json!({"trust": {"sds": {"secretName": "ca"}}});
    let tls = |mode: &str, certificate: &Value| json!({"mode": mode, "certificate": certificate});
    let require_client = |mode: &str| json!({"mode": mode, "certificate": acm(), "validation": validation});
    let policy = |enforce: bool| json!({"enforce": enforce, "validation": trust("arn:root")});
    let showing = |enforce: bool| json!({"enforce": enforce, "certificate": sds, "validation": trust("arn:root")});
    let elsewhere = json!({"ports": [9090], "validation": trust("arn:root")});
    for (client, server, expected, call, proven) in [
        (NOTHING, NOTHING, "plaintext", "plaintext", true),
        (NOTHING, tls("DISABLED", &acm()), "plaintext", "plaintext", true),
        (NOTHING, tls("STRICT", &acm()), "tls", "againstIssuer", false),
        (NOTHING, tls("PERMISSIVE", &acm()), "tls", "againstIssuer", false),
        (NOTHING, tls("STRICT", &sds), "tls", "unseen", true),
        (NOTHING, require_client("STRICT"), "broken no-client-certificate", "againstIssuer", true),
        (NOTHING, require_client("PERMISSIVE"), "broken no-client-certificate", "againstIssuer", true),
        (policy(true), NOTHING, "broken tls-not-served", "byPolicy", true),
        (policy(true), tls("DISABLED", &acm()), "broken tls-not-served", "byPolicy", true),
        (policy(true), tls("STRICT", &acm()), "tls", "byPolicy", false),
        (policy(true), tls("PERMISSIVE", &acm()), "tls", "byPolicy", false),
        (policy(true), require_client("STRICT"), "broken no-client-certificate", "byPolicy", true),
        (policy(false), NOTHING, "plaintext", "plaintext", true),
        (policy(false), tls("DISABLED", &acm()), "plaintext", "plaintext", true),
        (policy(false), tls("PERMISSIVE", &acm()), "tls", "byPolicy", false),
        (showing(true), tls("STRICT", &acm()), "tls", "byPolicy", false),
        (showing(true), require_client("STRICT"), "mtls", "byPolicy", false),
        (showing(false), require_client("PERMISSIVE"), "mtls", "byPolicy", false),
        (showing(false), require_client("DISABLED"), "plaintext", "plaintext", true),
        (elsewhere.clone(), NOTHING, "plaintext", "plaintext", true),
        (elsewhere, tls("STRICT", &sds), "tls", "unseen", true),
        (NOTHING, tls("OF_A_NEWER_API", &sds), "tls", "unseen", false),
        (NOTHING, tls("STRICT", &json!({"vault": {}})), "tls", "unseen", true),
        (policy(true), tls("STRICT", &json!({"vault": {}})), "tls", "byPolicy", false),
        (json!({"validation": {"trust": {"vault": {}}}}), tls("STRICT", &acm()), "tls", "byPolicy", false),
    ] {
        let edge = one_edge(&pair(&client, &server), &Readings::default());
        assert_eq!(verdict_text(&edge), expected, "{client} towards {server}");
        assert_eq!(serde_json::to_value(edge.inputs.call).unwrap(), call, "{client} towards {server}");
        assert_eq!(edge.is_proven(), proven, "{client} towards {server}: {:?}", edge.unknown);
    }
    validation["subjectAlternativeNames"] = json!({"match": {"exact": ["spiffe://shop/web"]}});
    let server = json!({"mode": "STRICT", "certificate": acm(), "validation": validation});
    let edge = one_edge(&pair(&showing(true), &server), &Readings::default());
    let inputs = serde_json::to_value(&edge.inputs).unwrap();
    assert_eq!(
        inputs,
        json!({
            "call": "byPolicy", "enforced": true, "mode": "STRICT",
            "server": "acm:arn:aws:acm:eu-west-1:123456789012:certificate/orders",
            "serverTrust": ["pca:arn:root"], "serverNames": ["orders.shop.local"],
            "asksClient": true, "client": "sds:spiffe://shop/orders",
            "clientTrust": "sds:ca", "clientNames": ["spiffe://shop/web"],
        })
    );
}

#[test]
fn every_way_to_a_listener_is_an_edge() {
    let listener = |port: u16| json!({"portMapping": {"port": port, "protocol": "http"}});
    let node = |ports: &[u16]| {
        let listeners: Vec<Value> = ports.iter().map(|port| listener(*port)).collect();
        json!({"listeners": listeners, "serviceDiscovery": {"dns": {"hostname": "x.local"}}})
    };
    let route =
        |targets: Value| json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}});
    let to = |service: &str| json!({"virtualService": {"virtualServiceName": service}});
    let mesh = mesh(&[
        ("virtualGateway/edge", json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]})),
        (
            "virtualGateway/edge/gatewayRoute/all",
            json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": to("a")}}}),
        ),
        ("virtualNode/caller", json!({"backends": [to("a"), to("b"), to("gone")]})),
        ("virtualService/a", json!({"provider": {"virtualRouter": {"virtualRouterName": "a"}}})),
        ("virtualRouter/a", json!({"listeners": [listener(80)]})),
        (
            "virtualRouter/a/route/one",
            route(
                json!([{"virtualNode": "v1", "weight": 1}, {"virtualNode": "v2", "weight": 0, "port": 81}, {"virtualNode": "v2", "weight": 0}]),
            ),
        ),
        (
            "virtualRouter/a/route/two",
            route(
                json!([{"virtualNode": "v1", "weight": 0, "port": 80}, {"virtualNode": "no", "weight": 1}, {"virtualNode": "v1", "weight": 0, "port": 9}]),
            ),
        ),
        ("virtualService/b", json!({"provider": {"virtualNode": {"virtualNodeName": "v2"}}})),
        ("virtualService/unused", json!({"provider": {"virtualNode": {"virtualNodeName": "v1"}}})),
        ("virtualNode/v1", node(&[80])),
        ("virtualNode/v2", node(&[80, 81])),
        ("virtualNode/lost", json!({"listeners": [listener(80)]})),
        ("virtualService/c", json!({"provider": {"virtualNode": {"virtualNodeName": "lost"}}})),
        ("virtualNode/other", json!({"backends": [to("c")]})),
    ]);
    let shown: Vec<String> = edges(&mesh, &Readings::default(), now())
        .iter()
        .map(|edge| {
            let routes: Vec<_> = edge.routes.iter().map(|route| route.route.to_string()).collect();
            let port = edge.port.map_or("-".to_owned(), |port| port.to_string());
            let traffic = if edge.carries_traffic { "traffic" } else { "idle" };
            format!(
                "{} {} {}@{port} {} {traffic} {}",
                edge.from.name(),
                edge.service,
                edge.to.name(),
                routes.join("+"),
                verdict_text(edge)
            )
        })
        .collect();
    let a = |from: &str| {
        [
            format!("{from} a no@- two traffic broken no-node"),
            format!("{from} a v1@9 two idle broken no-listener"),
            format!("{from} a v1@80 one+two traffic plaintext"),
            format!("{from} a v2@- one idle broken ambiguous-port"),
            format!("{from} a v2@81 one idle plaintext"),
        ]
    };
    let mut expected: Vec<String> = a("caller").into();
    expected.extend(["caller b v2@80  traffic plaintext".to_owned(), "caller b v2@81  traffic plaintext".to_owned()]);
    expected.push("other c lost@80  traffic broken no-discovery".to_owned());
    expected.extend(a("edge"));
    assert_eq!(shown, expected);
}

#[test]
fn a_gateway_calls_by_its_default_policy() {
    let tls = json!({"mode": "STRICT", "certificate": acm()});
    let mut mesh = pair(&NOTHING, &tls);
    let gateway = json!({
        "listeners": [{"portMapping": {"port": 80, "protocol": "http"}}],
        "backendDefaults": {"clientPolicy": {"tls": {"validation": trust("arn:root")}}},
    });
    let route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": {"virtualService": {"virtualServiceName": "orders.local"}}}}});
    for (path, spec) in [("virtualGateway/edge", gateway), ("virtualGateway/edge/gatewayRoute/all", route)] {
        let path = mesh::name::ResourcePath::parse(&format!("mesh/m/{path}")).unwrap();
        mesh.insert(path.clone(), mesh::spec::Spec::read(path.kind(), &spec).unwrap()).unwrap();
    }
    let calls: Vec<_> = edges(&mesh, &Readings::default(), now())
        .iter()
        .map(|edge| (edge.from.name().to_owned(), edge.inputs.enforced))
        .collect();
    assert_eq!(calls, [("web".to_owned(), None), ("edge".to_owned(), Some(true))]);
}
