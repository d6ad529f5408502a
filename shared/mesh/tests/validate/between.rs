//! Rules between two resources, whichever of them is written.

use mesh::graph::Mesh;
use mesh::validate::{self, Refusal, Violation};
use serde_json::{Value, json};

use super::references::{gateway_route, mesh_of, node, put, read, route, router};

/// A gateway, a router with a node behind it, and a node that provides a service itself. No member names a port.
fn shop() -> Mesh {
    mesh_of(&[
        ("virtualNode/orders", node(&[(8080, "http")])),
        ("virtualNode/prices", node(&[(8080, "http")])),
        ("virtualRouter/orders", router(&[(80, "http")])),
        ("virtualRouter/orders/route/all", route("httpRoute", &[("orders", None)], None)),
        ("virtualService/orders.local", json!({"provider": {"virtualRouter": {"virtualRouterName": "orders"}}})),
        ("virtualService/prices.local", json!({"provider": {"virtualNode": {"virtualNodeName": "prices"}}})),
        ("virtualGateway/edge", router(&[(8088, "http")])),
        ("virtualGateway/edge/gatewayRoute/orders", gateway_route("orders.local", None, None)),
        ("virtualGateway/edge/gatewayRoute/prices", gateway_route("prices.local", None, None)),
    ])
}

fn broken_by(mesh: &Mesh, name: &str, spec: &Value) -> Vec<Violation> {
    let (path, spec) = read(name, spec);
    validate::broken_by(mesh, &path, &spec)
}

/// One write: its description, its spec, and the refusals expected as the broken resource, its member and the code.
type Row = (&'static str, &'static str, Value, &'static [(&'static str, &'static str, &'static str)]);

fn refused_as_expected(mesh: &Mesh, table: &[Row]) {
    for (what, name, spec, expected) in table {
        let violations = broken_by(mesh, name, spec);
        let found: Vec<(String, String, &str)> = violations
            .iter()
            .map(|violation| match &violation.refusal {
                Refusal::BreaksReference { by, member, problem, .. } => {
                    (by.to_string(), member.clone(), problem.code())
                }
                refusal => ("itself".to_owned(), violation.path.clone(), refusal.code()),
            })
            .collect();
        let found: Vec<(&str, &str, &str)> =
            found.iter().map(|(by, member, code)| (by.as_str(), member.as_str(), *code)).collect();
        assert_eq!(found, *expected, "{what}");
    }
}

const ROUTE: &str = "mesh/shop/virtualRouter/orders/route/all";
const TO_ORDERS: &str = "mesh/shop/virtualGateway/edge/gatewayRoute/orders";
const TO_PRICES: &str = "mesh/shop/virtualGateway/edge/gatewayRoute/prices";
const TARGET: &str = "spec.httpRoute.action.weightedTargets[0].port";
const KIND: &str = "spec.httpRoute";
const MATCH: &str = "spec.httpRoute.match.port";
const PROVIDER: &str = "spec.httpRoute.action.target.port";

#[test]
fn second_listener_is_refused_while_a_reference_names_no_port() {
    let two = [(8080, "http"), (9090, "http")];
    refused_as_expected(
        &shop(),
        &[
            ("target", "virtualNode/orders", node(&two), &[(ROUTE, TARGET, "port-required")]),
            ("provider node", "virtualNode/prices", node(&two), &[(TO_PRICES, PROVIDER, "port-required")]),
            (
                "router",
                "virtualRouter/orders",
                router(&[(80, "http"), (81, "http")]),
                &[(ROUTE, MATCH, "port-required"), (TO_ORDERS, PROVIDER, "port-required")],
            ),
            (
                "gateway",
                "virtualGateway/edge",
                router(&[(8088, "http"), (8089, "http")]),
                &[(TO_ORDERS, MATCH, "port-required"), (TO_PRICES, MATCH, "port-required")],
            ),
        ],
    );
}

#[test]
fn references_that_name_a_port_allow_more_listeners() {
    let mut mesh = shop();
    put(&mut mesh, "virtualRouter/orders/route/all", &route("httpRoute", &[("orders", Some(8080))], Some(80)));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/orders", &gateway_route("orders.local", Some(8088), Some(80)));
    put(&mut mesh, "virtualGateway/edge/gatewayRoute/prices", &gateway_route("prices.local", Some(8088), Some(8080)));
    let node_with = |other: u16| node(&[(8080, "http"), (other, "grpc")]);
    refused_as_expected(
        &mesh,
        &[
            ("target", "virtualNode/orders", node_with(9090), &[]),
            ("provider node", "virtualNode/prices", node_with(9090), &[]),
            ("router", "virtualRouter/orders", router(&[(80, "http"), (81, "grpc")]), &[]),
            ("gateway", "virtualGateway/edge", router(&[(8088, "http"), (8089, "http")]), &[]),
            (
                "the named listener of the target is removed",
                "virtualNode/orders",
                node(&[(9090, "http")]),
                &[(ROUTE, TARGET, "port-not-listening")],
            ),
            (
                "the named listener of the router is removed",
                "virtualRouter/orders",
                router(&[(81, "http")]),
                &[(ROUTE, MATCH, "port-not-listening"), (TO_ORDERS, PROVIDER, "port-not-listening")],
            ),
            (
                "the named listener of the gateway is removed",
                "virtualGateway/edge",
                router(&[(8089, "http")]),
                &[(TO_ORDERS, MATCH, "port-not-listening"), (TO_PRICES, MATCH, "port-not-listening")],
            ),
        ],
    );
}

#[test]
fn other_protocol_is_refused_while_routes_are_of_the_old_kind() {
    let on = |protocol| router(&[(80, protocol)]);
    let with_protocol = |protocol| node(&[(8080, protocol)]);
    refused_as_expected(
        &shop(),
        &[
            ("the same protocol on another port", "virtualRouter/orders", router(&[(81, "http")]), &[]),
            ("router to http2", "virtualRouter/orders", on("http2"), &[(ROUTE, KIND, "listener-speaks-other")]),
            ("router to grpc", "virtualRouter/orders", on("grpc"), &[(ROUTE, KIND, "listener-speaks-other")]),
            (
                "router to tcp",
                "virtualRouter/orders",
                on("tcp"),
                &[(ROUTE, KIND, "listener-speaks-other"), (TO_ORDERS, PROVIDER, "target-speaks-tcp")],
            ),
            ("target to http2, which is translated", "virtualNode/orders", with_protocol("http2"), &[]),
            ("target to tcp", "virtualNode/orders", with_protocol("tcp"), &[(ROUTE, KIND, "listener-speaks-other")]),
            (
                "provider node to tcp",
                "virtualNode/prices",
                with_protocol("tcp"),
                &[(TO_PRICES, PROVIDER, "target-speaks-tcp")],
            ),
            ("gateway to grpc, which takes both", "virtualGateway/edge", router(&[(8088, "grpc")]), &[]),
        ],
    );
    for (from, to) in [("tcp", "http"), ("grpc", "http"), ("http2", "http"), ("http2", "tcp"), ("tcp", "grpc")] {
        let kind = format!("{from}Route");
        let member: &'static str = Box::leak(format!("spec.{kind}").into_boxed_str());
        let mesh = mesh_of(&[
            ("virtualNode/orders", with_protocol(from)),
            ("virtualRouter/orders", on(from)),
            ("virtualRouter/orders/route/all", route(&kind, &[("orders", None)], None)),
        ]);
        let expected: &'static [_] = Box::leak(Box::new([(ROUTE, member, "listener-speaks-other")]));
        refused_as_expected(&mesh, &[("kind of every route", "virtualRouter/orders", on(to), expected)]);
    }
}

#[test]
fn route_that_never_suited_its_router_does_not_refuse_a_change_of_it() {
    let mut mesh = shop();
    put(&mut mesh, "virtualRouter/orders/route/all", &route("grpcRoute", &[("orders", None)], None));
    refused_as_expected(
        &mesh,
        &[
            ("to another protocol that doesn't suit either", "virtualRouter/orders", router(&[(80, "http2")]), &[]),
            ("to the protocol of the route", "virtualRouter/orders", router(&[(80, "grpc")]), &[]),
            (
                "to one by which nothing gets through any more",
                "virtualRouter/orders",
                router(&[(80, "tcp")]),
                &[(ROUTE, "spec.grpcRoute", "listener-speaks-other"), (TO_ORDERS, PROVIDER, "target-speaks-tcp")],
            ),
        ],
    );
}

#[test]
fn last_listener_is_not_removed_from_a_resource_that_is_reached() {
    refused_as_expected(
        &shop(),
        &[
            ("target", "virtualNode/orders", json!({}), &[(ROUTE, KIND, "no-listener-left")]),
            ("provider node", "virtualNode/prices", json!({}), &[(TO_PRICES, KIND, "no-listener-left")]),
            (
                "router",
                "virtualRouter/orders",
                json!({}),
                &[(ROUTE, KIND, "no-listener-left"), (TO_ORDERS, KIND, "no-listener-left")],
            ),
        ],
    );
    // Requests get through a TCP listener.
    let mut mesh = shop();
    put(&mut mesh, "virtualNode/orders", &node(&[(8080, "tcp")]));
    refused_as_expected(
        &mesh,
        &[("target of bytes", "virtualNode/orders", json!({}), &[(ROUTE, KIND, "no-listener-left")])],
    );
}

#[test]
fn service_is_not_moved_to_a_provider_that_its_gateway_routes_do_not_fit() {
    let by_node = |name: &str| json!({"provider": {"virtualNode": {"virtualNodeName": name}}});
    let mut mesh = shop();
    put(&mut mesh, "virtualNode/two", &node(&[(8080, "http"), (9090, "http")]));
    put(&mut mesh, "virtualNode/bytes", &node(&[(8080, "tcp")]));
    put(&mut mesh, "virtualNode/silent", &json!({}));
    put(&mut mesh, "virtualRouter/two", &router(&[(80, "http"), (81, "http")]));
    refused_as_expected(
        &mesh,
        &[
            ("one listener", "virtualService/orders.local", by_node("prices"), &[]),
            ("no provider", "virtualService/orders.local", json!({}), &[]),
            ("two", "virtualService/orders.local", by_node("two"), &[(TO_ORDERS, PROVIDER, "port-required")]),
            (
                "a router with two",
                "virtualService/prices.local",
                json!({"provider": {"virtualRouter": {"virtualRouterName": "two"}}}),
                &[(TO_PRICES, PROVIDER, "port-required")],
            ),
            ("tcp", "virtualService/orders.local", by_node("bytes"), &[(TO_ORDERS, PROVIDER, "target-speaks-tcp")]),
            ("none", "virtualService/orders.local", by_node("silent"), &[(TO_ORDERS, KIND, "no-listener-left")]),
        ],
    );
}

#[test]
fn written_route_or_gateway_route_names_a_listener() {
    let two = [(8080, "http"), (9090, "http")];
    let mesh = mesh_of(&[
        ("virtualNode/two", node(&two)),
        ("virtualNode/bytes", node(&[(8080, "tcp")])),
        ("virtualNode/silent", json!({})),
        ("virtualRouter/two", router(&two)),
        ("virtualService/two.local", json!({"provider": {"virtualNode": {"virtualNodeName": "two"}}})),
        ("virtualService/bytes.local", json!({"provider": {"virtualNode": {"virtualNodeName": "bytes"}}})),
        ("virtualService/silent.local", json!({"provider": {"virtualNode": {"virtualNodeName": "silent"}}})),
        ("virtualService/none.local", json!({})),
        ("virtualGateway/two", router(&two)),
    ]);
    let to = |port, target| gateway_route("two.local", port, target);
    refused_as_expected(
        &mesh,
        &[
            (
                "no ports",
                "virtualRouter/two/route/r",
                route("httpRoute", &[("two", None)], None),
                &[("itself", MATCH, "port-required"), ("itself", TARGET, "port-required")],
            ),
            (
                "other ports",
                "virtualRouter/two/route/r",
                route("httpRoute", &[("silent", Some(1)), ("two", Some(1))], Some(1)),
                &[
                    ("itself", MATCH, "port-not-listening"),
                    ("itself", "spec.httpRoute.action.weightedTargets[1].port", "port-not-listening"),
                ],
            ),
            (
                "the right ports, of another kind than the router",
                "virtualRouter/two/route/r",
                route("grpcRoute", &[("two", Some(9090)), ("silent", None)], Some(8080)),
                &[],
            ),
            (
                "no ports",
                "virtualGateway/two/gatewayRoute/g",
                to(None, None),
                &[("itself", MATCH, "port-required"), ("itself", PROVIDER, "port-required")],
            ),
            (
                "other ports",
                "virtualGateway/two/gatewayRoute/g",
                to(Some(1), Some(2)),
                &[("itself", MATCH, "port-not-listening"), ("itself", PROVIDER, "port-not-listening")],
            ),
            ("the right ports", "virtualGateway/two/gatewayRoute/g", to(Some(8080), Some(9090)), &[]),
            (
                "a service of bytes",
                "virtualGateway/two/gatewayRoute/g",
                gateway_route("bytes.local", Some(8080), None),
                &[("itself", PROVIDER, "target-speaks-tcp")],
            ),
            (
                "no listener yet",
                "virtualGateway/two/gatewayRoute/g",
                gateway_route("silent.local", Some(8080), None),
                &[],
            ),
            (
                "no provider yet",
                "virtualGateway/two/gatewayRoute/g",
                gateway_route("none.local", Some(8080), None),
                &[],
            ),
        ],
    );
}

/// A mesh of an earlier server may have specs that are refused today. Its routes can still be failed over, and its nodes still
/// get new certificates.
#[test]
fn earlier_damage_does_not_refuse_a_write() {
    let two = [(8080, "http"), (9090, "http")];
    let mut mesh = shop();
    put(&mut mesh, "virtualNode/orders", &node(&two));
    assert_eq!(validate::between(&mesh).len(), 1);
    let mut certified = node(&two);
    certified["logging"] = json!({"accessLog": {"file": {"path": "/dev/stdout"}}});
    let weights = |kind| route(kind, &[("prices", None), ("orders", None)], None);
    refused_as_expected(
        &mesh,
        &[
            ("another member of the node", "virtualNode/orders", certified, &[]),
            ("other weights", "virtualRouter/orders/route/all", weights("httpRoute"), &[]),
            ("a repair", "virtualNode/orders", node(&[(9090, "http")]), &[]),
            (
                "a new route with the same fault",
                "virtualRouter/orders/route/new",
                route("httpRoute", &[("orders", None)], None),
                &[("itself", TARGET, "port-required")],
            ),
        ],
    );
}

#[test]
fn refusal_names_the_resource_and_the_first_step() {
    let text = |name, spec: &Value| {
        broken_by(&shop(), name, spec).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        text("virtualNode/orders", &node(&[(8080, "http"), (9090, "http")])),
        "spec.listeners: would break mesh/shop/virtualRouter/orders/route/all: its \
         spec.httpRoute.action.weightedTargets[0].port is required because the virtual node has several listeners: add \
         one of 8080, 9090; first set that port to 8080"
    );
    assert_eq!(
        text("virtualRouter/orders", &router(&[(80, "http2")])),
        "spec.listeners: would break mesh/shop/virtualRouter/orders/route/all: its spec.httpRoute does not \
         suit listener 80 of mesh/shop/virtualRouter/orders, which would use http2; first make it an http2Route, or \
         delete it"
    );
}

#[test]
fn faults_of_a_whole_mesh_are_found_at_the_routes() {
    let two = [(8080, "http"), (9090, "http")];
    let mut mesh = shop();
    assert_eq!(validate::between(&mesh), []);
    put(&mut mesh, "virtualNode/orders", &node(&two));
    put(&mut mesh, "virtualNode/prices", &node(&[(8080, "tcp")]));
    put(&mut mesh, "virtualRouter/orders", &router(&two));
    put(&mut mesh, "virtualGateway/edge", &router(&two));
    let found: Vec<(String, String, &str)> = validate::between(&mesh)
        .into_iter()
        .map(|(path, violation)| (path.to_string(), violation.path, violation.refusal.code()))
        .collect();
    let found: Vec<_> = found.iter().map(|(path, member, code)| (path.as_str(), member.as_str(), *code)).collect();
    assert_eq!(
        found,
        [
            (ROUTE, MATCH, "port-required"),
            (ROUTE, TARGET, "port-required"),
            (TO_ORDERS, MATCH, "port-required"),
            (TO_ORDERS, PROVIDER, "port-required"),
            (TO_PRICES, MATCH, "port-required"),
            (TO_PRICES, PROVIDER, "target-speaks-tcp"),
        ]
    );
}
