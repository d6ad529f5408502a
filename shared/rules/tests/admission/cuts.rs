//! Calls that a write would cut, with the damage on any resource.

use jiff::Timestamp;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use policy::Policy;
use rules::admission::{Cut, WriteVerdict, cuts, judge_write};
use rules::pack::{RuleName, Severity};
use serde_json::{Value, json};

use super::references::{gateway_route, mesh_of, node, put, read, route, router};

fn now() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

/// A caller of two services: one of a router with two nodes, one of a node itself. A gateway leads to both.
fn shop() -> Mesh {
    mesh_of(&[
        ("virtualNode/web", calling(&["orders.local", "prices.local"])),
        ("virtualNode/orders", node(&[(8080, "http")])),
        ("virtualNode/orders2", node(&[(8080, "http")])),
        ("virtualNode/prices", node(&[(9080, "http")])),
        ("virtualRouter/orders", router(&[(80, "http")])),
        ("virtualRouter/orders/route/all", route("httpRoute", &[("orders", None), ("orders2", None)], None)),
        ("virtualService/orders.local", by_router("orders")),
        ("virtualService/prices.local", by_node("prices")),
        ("virtualGateway/edge", router(&[(8088, "http")])),
        ("virtualGateway/edge/gatewayRoute/orders", gateway_route("orders.local", None, None)),
        ("virtualGateway/edge/gatewayRoute/prices", gateway_route("prices.local", None, None)),
    ])
}

fn calling(services: &[&str]) -> Value {
    let backend = |service: &&str| json!({"virtualService": {"virtualServiceName": service}});
    let mut spec = node(&[(8000, "http")]);
    spec["backends"] = services.iter().map(backend).collect();
    spec
}

fn by_router(router: &str) -> Value {
    json!({"provider": {"virtualRouter": {"virtualRouterName": router}}})
}

fn by_node(node: &str) -> Value {
    json!({"provider": {"virtualNode": {"virtualNodeName": node}}})
}

fn written(mesh: &Mesh, name: &str, spec: &Value) -> (Mesh, ResourcePath) {
    let mut after = mesh.clone();
    put(&mut after, name, spec);
    (after, read(name, spec).0)
}

fn found(mesh: &Mesh, name: &str, spec: &Value) -> Vec<(String, &'static str)> {
    let (after, path) = written(mesh, name, spec);
    let short = |cut: Cut| (cut.resource.to_string().replacen("mesh/shop/", "", 1), cut.rule);
    cuts(mesh, &after, &path, now()).into_iter().map(short).collect()
}

/// One write: its description, its specs, and the cuts expected as the resource and the rule.
type Row = (&'static str, &'static str, Value, &'static [(&'static str, &'static str)]);

#[test]
fn calls_that_worked_and_would_fail_are_cut() {
    let drained = |weight| {
        let mut spec = route("httpRoute", &[("orders", None), ("orders2", None)], None);
        for index in 0..2 {
            spec["httpRoute"]["action"]["weightedTargets"][index]["weight"] = json!(weight);
        }
        spec
    };
    let strict = |of: &str| {
        let mut spec = node(&[(9080, "http")]);
        let certificate = json!({"file": {"certificateChain": "/c.pem", "privateKey": "/k.pem"}});
        let trust = json!({"file": {"certificateChain": "/ca.pem"}});
        let tls = json!({"mode": of, "certificate": certificate, "validation": {"trust": trust}});
        spec["listeners"][0]["tls"] = tls;
        spec
    };
    let web_by_tls = {
        let mut spec = calling(&["orders.local", "prices.local"]);
        let tls = json!({"enforce": true, "validation": {"trust": {"file": {"certificateChain": "/ca.pem"}}}});
        spec["backends"][1]["virtualService"]["clientPolicy"] = json!({"tls": tls});
        spec
    };
    let table: &[Row] = &[
        ("nothing", "virtualNode/prices", node(&[(9080, "http")]), &[]),
        ("another host", "virtualNode/orders", node(&[(8080, "http2")]), &[]),
        ("one of two targets is drained", "virtualRouter/orders/route/all", drained(1), &[]),
        (
            "all targets are drained",
            "virtualRouter/orders/route/all",
            drained(0),
            &[("virtualRouter/orders/route/all", "route-drained")],
        ),
        (
            "the kind of a route",
            "virtualRouter/orders/route/all",
            route("tcpRoute", &[("orders", None)], None),
            &[("virtualRouter/orders/route/all", "route-kind-other-than-router")],
        ),
        (
            "another port of the router",
            "virtualRouter/orders",
            router(&[(81, "http")]),
            &[("virtualNode/web", "service-without-provider")],
        ),
        ("one more port of the router", "virtualRouter/orders", router(&[(80, "http"), (81, "http")]), &[]),
        (
            "another port of a node that is a provider",
            "virtualNode/prices",
            node(&[(9081, "http")]),
            &[("virtualNode/web", "service-without-provider")],
        ),
        (
            "a service without its provider",
            "virtualService/prices.local",
            json!({}),
            &[
                ("virtualNode/web", "service-without-provider"),
                ("virtualGateway/edge/gatewayRoute/prices", "service-without-provider"),
            ],
        ),
        (
            "a service on another port",
            "virtualService/prices.local",
            by_node("orders"),
            &[("virtualNode/web", "service-without-provider")],
        ),
        (
            "a listener that demands a client certificate",
            "virtualNode/prices",
            strict("STRICT"),
            &[("virtualNode/web", "edge-broken"), ("virtualGateway/edge", "edge-broken")],
        ),
        (
            "a client policy that the listener does not serve",
            "virtualNode/web",
            web_by_tls,
            &[("virtualNode/web", "edge-broken")],
        ),
        ("a backend is given up", "virtualNode/web", calling(&["orders.local"]), &[]),
        ("a new service and its callers", "virtualService/later.local", json!({}), &[]),
        (
            "a backend that comes later",
            "virtualNode/web",
            calling(&["orders.local", "prices.local", "later.local"]),
            &[],
        ),
    ];
    for (what, name, spec, expected) in table {
        let found = found(&shop(), name, spec);
        let found: Vec<(&str, &str)> = found.iter().map(|(resource, rule)| (resource.as_str(), *rule)).collect();
        assert_eq!(found, *expected, "{what}");
    }
}

/// Proxies change one after the other, so a listener that goes from plain text to TLS only has to be permissive between.
#[test]
fn a_listener_that_skips_the_permissive_mode_cuts_its_calls() {
    let prices = |mode: &str| {
        let mut spec = node(&[(9080, "http")]);
        let certificate = json!({"file": {"certificateChain": "/c.pem", "privateKey": "/k.pem"}});
        spec["listeners"][0]["tls"] = json!({"mode": mode, "certificate": certificate});
        spec
    };
    let both = &[("virtualNode/web", "edge-broken"), ("virtualGateway/edge", "edge-broken")][..];
    for (was, will, expected) in [
        ("DISABLED", "STRICT", both),
        ("DISABLED", "PERMISSIVE", &[]),
        ("PERMISSIVE", "STRICT", &[]),
        ("STRICT", "PERMISSIVE", &[]),
        ("PERMISSIVE", "DISABLED", &[]),
        ("STRICT", "DISABLED", both),
    ] {
        let mut mesh = shop();
        put(&mut mesh, "virtualNode/prices", &prices(was));
        let cut = found(&mesh, "virtualNode/prices", &prices(will));
        let cut: Vec<(&str, &str)> = cut.iter().map(|(resource, rule)| (resource.as_str(), *rule)).collect();
        assert_eq!(cut, expected, "{was} to {will}");
        // Without callers, nothing is cut.
        let mut alone = mesh_of(&[]);
        put(&mut alone, "virtualNode/prices", &prices(was));
        assert_eq!(found(&alone, "virtualNode/prices", &prices(will)), [], "{was} to {will}");
    }
}

/// A listener that demands a client certificate, and one without TLS, next to plain ones.
fn shop_with_tls() -> Mesh {
    let certificate = json!({"file": {"certificateChain": "/c.pem", "privateKey": "/k.pem"}});
    let trust = json!({"file": {"certificateChain": "/ca.pem"}});
    let mutual = json!({"mode": "STRICT", "certificate": certificate, "validation": {"trust": trust}});
    let mut mesh = shop();
    let mut strict = node(&[(9080, "http")]);
    strict["listeners"][0]["tls"] = mutual.clone();
    put(&mut mesh, "virtualNode/strict", &strict);
    let mut both = node(&[(9080, "http"), (9081, "http")]);
    both["listeners"][1]["tls"] = mutual;
    put(&mut mesh, "virtualNode/both", &both);
    put(&mut mesh, "virtualNode/plain", &node(&[(9080, "http")]));
    put(&mut mesh, "virtualService/both.local", &by_node("both"));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/both", &gateway_route("both.local", None, Some(9080)));
    let drained =
        json!({"weightedTargets": [{"virtualNode": "orders", "weight": 1}, {"virtualNode": "strict", "weight": 0}]});
    put(
        &mut mesh,
        "virtualRouter/orders/route/all",
        &json!({"httpRoute": {"match": {"prefix": "/"}, "action": drained}}),
    );
    mesh
}

/// The edge where a call arrives after the write is broken, and new to the call: no edge that worked is worse than before.
#[test]
fn calls_that_move_to_an_end_that_they_do_not_fit_are_cut() {
    let weights = |orders: u32, strict: u32| {
        let targets = json!([{"virtualNode": "orders", "weight": orders}, {"virtualNode": "strict", "weight": strict}]);
        json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
    };
    let one_more = {
        let mut spec = node(&[(9080, "http"), (9082, "http")]);
        let certificate = json!({"file": {"certificateChain": "/c.pem", "privateKey": "/k.pem"}});
        let trust = json!({"file": {"certificateChain": "/ca.pem"}});
        spec["listeners"][1]["tls"] =
            json!({"mode": "STRICT", "certificate": certificate, "validation": {"trust": trust}});
        spec
    };
    let (web, edge) = ("virtualNode/web", "virtualGateway/edge/gatewayRoute");
    let (orders, prices, both) = (format!("{edge}/orders"), format!("{edge}/prices"), format!("{edge}/both"));
    let table = [
        ("a provider that demands a certificate", "virtualService/prices.local", by_node("strict"), vec![web, &prices]),
        ("a provider as plain as the one before", "virtualService/prices.local", by_node("plain"), vec![]),
        ("weight for a drained target", "virtualRouter/orders/route/all", weights(1, 1), vec![web, &orders]),
        ("the same weights", "virtualRouter/orders/route/all", weights(9, 0), vec![]),
        ("another port of a target", both.as_str(), gateway_route("both.local", None, Some(9081)), vec![both.as_str()]),
        ("another target", both.as_str(), gateway_route("prices.local", None, None), vec![]),
        ("one more listener that nobody calls", "virtualNode/prices", one_more, vec![]),
    ];
    for (what, name, spec, expected) in table {
        let found = found(&shop_with_tls(), name, &spec);
        let found: Vec<(&str, &str)> = found.iter().map(|(resource, rule)| (resource.as_str(), *rule)).collect();
        let mut expected: Vec<(&str, &str)> = expected.into_iter().map(|resource| (resource, "edge-broken")).collect();
        let sorted = |all: &mut Vec<(&str, &str)>| all.sort_unstable();
        sorted(&mut expected);
        let mut found = found;
        sorted(&mut found);
        assert_eq!(found, expected, "{what}");
    }
}

/// Some calls reach an end that they do not fit, which another route leads to. A route that takes over working calls, or
/// gets that end as one more target, cuts them.
#[test]
fn calls_that_a_route_takes_over_to_an_end_that_they_do_not_fit_are_cut() {
    let mut mesh = shop_with_tls();
    let to = |prefix: &str, node: &str, priority: u32| {
        let action = json!({"weightedTargets": [{"virtualNode": node, "weight": 1}]});
        json!({"httpRoute": {"match": {"prefix": prefix}, "action": action}, "priority": priority})
    };
    let at_gateway = |prefix: &str, service: &str, priority: u32| {
        let target = json!({"virtualService": {"virtualServiceName": service}});
        json!({"httpRoute": {"match": {"prefix": prefix}, "action": {"target": target}}, "priority": priority})
    };
    put(&mut mesh, "virtualRouter/orders/route/all", &to("/", "orders", 5));
    put(&mut mesh, "virtualRouter/orders/route/bad", &to("/bad", "strict", 4));
    put(&mut mesh, "virtualService/strict.local", &by_node("strict"));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/prices", &at_gateway("/", "prices.local", 5));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/orders", &at_gateway("/orders", "orders.local", 5));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/both", &at_gateway("/both", "prices.local", 5));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/bad", &at_gateway("/bad", "strict.local", 4));
    let two = json!([{"virtualNode": "orders", "weight": 1}, {"virtualNode": "strict", "weight": 1}]);
    let two = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": two}}, "priority": 5});
    let (route, edge) = ("virtualRouter/orders/route", "virtualGateway/edge/gatewayRoute");
    let (all, new, bad) = (format!("{route}/all"), format!("{route}/new"), format!("{route}/bad"));
    let (gateway_new, gateway_bad) = (format!("{edge}/new"), format!("{edge}/bad"));
    let table = [
        ("a new route that comes first", &new, to("/", "strict", 1), true),
        ("one that leads to a working end", &new, to("/", "orders2", 1), false),
        ("one that comes last", &new, to("/", "strict", 9), false),
        ("the route with more calls", &bad, to("/", "strict", 4), true),
        ("the same route", &bad, to("/bad", "strict", 4), false),
        ("one more target", &all, two, true),
        ("a new gateway route that comes first", &gateway_new, at_gateway("/", "strict.local", 1), true),
        ("one that comes last at the gateway", &gateway_new, at_gateway("/bad/too", "strict.local", 9), false),
        ("one to a working service", &gateway_new, at_gateway("/", "prices.local", 1), false),
        ("the gateway route with more calls", &gateway_bad, at_gateway("/", "strict.local", 1), true),
    ];
    for (what, name, spec, is_cut) in table {
        let found = found(&mesh, name, &spec);
        let own: Vec<_> = found.iter().filter(|(resource, rule)| resource == name && *rule == "edge-broken").collect();
        assert_eq!(!own.is_empty(), is_cut, "{what}: {found:?}");
        assert!(is_cut || found.is_empty(), "{what}: {found:?}");
    }
}

/// A route that no longer comes first leaves its calls to the next one.
#[test]
fn calls_that_a_route_leaves_to_an_end_that_they_do_not_fit_are_cut() {
    let to = |prefix: &str, node: &str, priority: u32| {
        let action = json!({"weightedTargets": [{"virtualNode": node, "weight": 1}]});
        json!({"httpRoute": {"match": {"prefix": prefix}, "action": action}, "priority": priority})
    };
    let at_gateway = |prefix: &str, service: &str, priority: u32| {
        let target = json!({"virtualService": {"virtualServiceName": service}});
        json!({"httpRoute": {"match": {"prefix": prefix}, "action": {"target": target}}, "priority": priority})
    };
    let mut mesh = shop_with_tls();
    put(&mut mesh, "virtualRouter/orders/route/all", &to("/", "orders", 3));
    put(&mut mesh, "virtualRouter/orders/route/next", &to("/", "strict", 5));
    put(&mut mesh, "virtualRouter/orders/route/apart", &to("/apart", "orders", 1));
    put(&mut mesh, "virtualService/strict.local", &by_node("strict"));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/prices", &at_gateway("/", "prices.local", 3));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/next", &at_gateway("/", "strict.local", 5));
    let (all, apart) = ("virtualRouter/orders/route/all", "virtualRouter/orders/route/apart");
    let prices = "virtualGateway/edge/gatewayRoute/prices";
    for (what, name, spec, is_cut) in [
        ("a later priority than the next route", all, to("/", "orders", 9), true),
        ("a later priority that still comes first", all, to("/", "orders", 4), false),
        ("calls that are partly left", all, to("/kept", "orders", 9), true),
        ("calls of one path", apart, to("/apart", "orders", 9), true),
        ("a later priority at the gateway", prices, at_gateway("/", "prices.local", 9), true),
        ("one that still comes first at the gateway", prices, at_gateway("/", "prices.local", 4), false),
    ] {
        let found = found(&mesh, name, &spec);
        assert_eq!(found.contains(&(name.to_owned(), "edge-broken")), is_cut, "{what}: {found:?}");
    }
}

/// A service whose calls of some paths fail moves to a provider with which others fail.
#[test]
fn calls_that_another_provider_takes_to_an_end_that_failed_before_are_cut() {
    let mut mesh = shop_with_tls();
    let to = |prefix: &str, node: &str| {
        let action = json!({"weightedTargets": [{"virtualNode": node, "weight": 1}]});
        json!({"httpRoute": {"match": {"prefix": prefix}, "action": action}})
    };
    put(&mut mesh, "virtualRouter/orders/route/all", &to("/", "strict"));
    put(&mut mesh, "virtualRouter/orders/route/a", &to("/a", "orders"));
    for (router_name, routes) in [
        ("same", [("/", "strict"), ("/a", "orders2")]),
        ("other", [("/", "orders"), ("/a", "strict")]),
        ("deeper", [("/", "orders"), ("/a/b", "strict")]),
        ("beside", [("/a", "orders"), ("/b", "strict")]),
    ] {
        put(&mut mesh, &format!("virtualRouter/{router_name}"), &router(&[(80, "http")]));
        for (number, (prefix, node)) in routes.into_iter().enumerate() {
            put(&mut mesh, &format!("virtualRouter/{router_name}/route/r{number}"), &to(prefix, node));
        }
    }
    for (provider, is_cut) in [
        (by_router("orders"), false),
        (by_router("same"), false),
        (by_router("other"), true),
        (by_router("deeper"), true),
        (by_router("beside"), false),
        (by_node("strict"), true),
    ] {
        let found = found(&mesh, "virtualService/orders.local", &provider);
        let cut = found.contains(&("virtualService/orders.local".to_owned(), "edge-broken"));
        assert_eq!(cut, is_cut, "{provider}: {found:?}");
    }
}

#[test]
fn tcp_backend_cuts_other_calls_on_its_port() {
    let mut mesh = shop();
    put(&mut mesh, "virtualNode/bytes", &node(&[(80, "tcp")]));
    put(&mut mesh, "virtualService/bytes.local", &by_node("bytes"));
    let spec = calling(&["bytes.local", "orders.local", "prices.local"]);
    assert_eq!(found(&mesh, "virtualNode/web", &spec), [("virtualNode/web".to_owned(), "backend-port-conflict")]);
}

#[test]
fn every_rule_of_a_cut_exists() {
    for rule in [
        "route-drained",
        "reference-dangling",
        "route-target-not-listening",
        "route-target-other-protocol",
        "edge-name-mismatch",
        "edge-broken",
        "service-without-provider",
        "backend-port-conflict",
        "route-kind-other-than-router",
    ] {
        assert!(RuleName::try_from(rule.to_owned()).is_ok(), "{rule}");
    }
}

fn judged(policy: &str, name: &str, spec: &Value, refuses: Option<Severity>) -> WriteVerdict {
    let (after, path) = written(&shop(), name, spec);
    judge_write(&shop(), &after, &path, &Policy::read(policy).unwrap(), now(), refuses)
}

fn is_of(verdict: &[rules::pack::Finding], rule: &str, resource: &str) -> bool {
    verdict.iter().any(|finding| finding.rule.as_str() == rule && finding.resource.to_string() == resource)
}

#[test]
fn cut_refuses_on_another_resource_and_is_reported_where_nothing_refuses() {
    let (rule, web) = ("service-without-provider", "mesh/shop/virtualNode/web");
    let write = ("virtualService/prices.local", by_node("orders"));
    let denied = judged("version: 1", write.0, &write.1, Some(Severity::Critical));
    assert!(is_of(&denied.refusing, rule, web) && is_of(&denied.created, rule, web), "{denied:?}");
    let text = denied.refusing[0].message.as_str();
    assert!(text.contains("prices.local") && text.contains("9080") && text.contains("8080"), "{text}");

    let warned = judged("version: 1", write.0, &write.1, None);
    assert!(warned.refusing.is_empty() && is_of(&warned.created, rule, web), "{warned:?}");

    let waiver = format!(
        "version: 1\nwaivers:\n  - {{rule: {rule}, resource: {web}, owner: shop, reason: a move, until: 2999-01-01T00:00:00Z}}\n"
    );
    let allowed = judged(&waiver, write.0, &write.1, Some(Severity::Critical));
    assert!(allowed.refusing.is_empty() && !is_of(&allowed.created, rule, web), "{allowed:?}");
}

#[test]
fn deletion_is_never_refused() {
    let mut after = shop();
    let path = ResourcePath::parse("mesh/shop/virtualRouter/orders/route/all").unwrap();
    after.remove(&path);
    let policy = Policy::built_in().unwrap();
    let verdict = judge_write(&shop(), &after, &path, &policy, now(), Some(Severity::Info));
    assert_eq!(verdict.refusing, []);
}
