use mesh::graph::Mesh;
use mesh::traffic::{Landing, flows, understands};

use super::samples::{id, mesh};

fn landings(mesh: &Mesh) -> Vec<String> {
    let flows = flows(mesh, &id("r/x")).unwrap();
    let show = |landing| match landing {
        Landing::Listener(listener) => format!("listener {}", listener.port_mapping.port),
        Landing::NoNode => "no node".to_owned(),
        Landing::NoListener(_) => "no listener".to_owned(),
        Landing::Ambiguous(_) => "ambiguous".to_owned(),
    };
    flows.iter().map(|flow| format!("{} {:.2} {}", flow.virtual_node, flow.share(), show(flow.landing))).collect()
}

#[test]
fn traffic_is_followed_to_the_listener() {
    let table: [(&str, &str, &str, &[&str]); 7] = [
        ("one listener", "a:3 b:1", "80/http", &["a 0.75 listener 80", "b 0.25 no node"]),
        ("port named", "a@81:1", "80/http 81/http", &["a 1.00 listener 81"]),
        ("several listeners, no port", "a:1", "80/http 81/http", &["a 1.00 ambiguous"]),
        ("port that is none", "a@79:1", "80/http", &["a 1.00 no listener"]),
        ("no listener at all", "a:1", "", &["a 1.00 no listener"]),
        ("the same target twice", "a@80:1 b:2 a@80:1", "80/http", &["a 0.50 listener 80", "b 0.50 no node"]),
        ("drained", "a:0 b:0", "80/http", &["a 0.00 listener 80", "b 0.00 no node"]),
    ];
    for (what, targets, listeners, expected) in table {
        let mesh = mesh(&[&format!("node a {listeners}"), &format!("route r/x tcpRoute {{}} {targets}")]);
        assert_eq!(landings(&mesh), expected, "{what}");
    }
}

#[test]
fn routes_that_are_not_there_have_no_traffic() {
    assert!(flows(&mesh(&[]), &id("r/x")).is_none());
}

#[test]
fn listeners_understand_their_family() {
    let table = [
        ("httpRoute", [true, true, true, false]),
        ("http2Route", [true, true, true, false]),
        ("grpcRoute", [false, true, true, false]),
        ("tcpRoute", [false, false, false, true]),
    ];
    for (kind, expected) in table {
        let mesh = mesh(&["node a 80/http 81/http2 82/grpc 83/tcp", &format!("route r/x {kind} {{}} a:1")]);
        let rule = &mesh.route(&id("r/x")).unwrap().rule;
        let listeners = mesh.nodes.values().next().unwrap().listeners();
        let understood: Vec<_> = listeners.iter().map(|listener| understands(listener, rule)).collect();
        assert_eq!(understood, expected, "{kind}");
    }
}
