use mesh::harm::{Harm, harms};
use serde_json::json;

use super::samples::{id, mesh};

const NODES: [&str; 8] = [
    "node tls 80/http/STRICT",
    "node tls2 80/http/PERMISSIVE",
    "node plain 80/http",
    "node plain2 80/http/DISABLED",
    "node bytes 80/tcp",
    "node bytes2 80/tcp",
    "node two 80/http 81/http",
    "node deaf",
];

fn found(before: &str, after: &str) -> Vec<Harm> {
    let with = |targets: &str| {
        let route = format!("route r/x httpRoute {{\"prefix\":\"/\"}} {targets}");
        mesh(&[&NODES[..], &[route.as_str()]].concat())
    };
    harms(&with(before), &with(after), [&id("r/x")])
}

#[test]
fn only_harms_that_the_change_creates_are_found() {
    let table: [(&str, &str, &str, &[&str]); 25] = [
        ("nothing changes", "plain:75 plain2:25", "plain:75 plain2:25", &[]),
        ("traffic moves between equals", "plain:75 plain2:25", "plain:0 plain2:100", &[]),
        ("drained", "plain:1", "plain:0", &["route-drained"]),
        ("drained already", "plain:0", "plain:0", &[]),
        ("only a missing node is left", "plain:1 gone:0", "plain:0 gone:1", &["route-drained", "dangling-reference"]),
        ("a part to a missing node", "plain:1 gone:0", "plain:1 gone:1", &["dangling-reference"]),
        ("more to a missing node", "plain:3 gone:1", "plain:1 gone:1", &["dangling-reference"]),
        ("the same to a missing node, in other numbers", "plain:3 gone:1", "plain:6 gone:2", &[]),
        ("less to a missing node", "plain:1 gone:1", "plain:3 gone:1", &[]),
        ("from one missing node to another", "plain:1 gone:1 lost:0", "plain:1 gone:0 lost:1", &[]),
        ("from nothing to a missing node", "plain:0 gone:0", "plain:0 gone:1", &["dangling-reference"]),
        ("to a node with several listeners, no port", "plain:1 two:0", "plain:0 two:1", &["missing-listener-port"]),
        ("to one of several listeners", "plain:1 two@81:0", "plain:0 two@81:1", &[]),
        ("to a port where nothing listens", "plain:1 two@82:0", "plain:0 two@82:1", &["missing-listener-port"]),
        ("to a node without listener", "plain:1 deaf:0", "plain:0 deaf:1", &["missing-listener-port"]),
        ("between ports where nothing listens", "two@82:1 two@83:0", "two@82:0 two@83:1", &[]),
        ("http to tcp", "plain:1 bytes:0", "plain:0 bytes:1", &["protocol-mismatch"]),
        ("http to tcp already", "bytes:1 bytes2:0", "bytes:0 bytes2:1", &[]),
        ("TLS to none", "tls:1 plain:0", "tls:0 plain:1", &["tls-lost"]),
        ("TLS to DISABLED, in part", "tls2:9 plain2:1", "tls2:1 plain2:9", &["tls-lost"]),
        ("STRICT to PERMISSIVE", "tls:1 tls2:0", "tls:0 tls2:1", &[]),
        ("none to TLS", "tls:0 plain:1", "tls:1 plain:0", &[]),
        ("between nodes without, next to one with", "tls:2 plain:1 plain2:1", "tls:2 plain:0 plain2:2", &[]),
        ("TLS to TLS, next to one without", "tls:2 plain:1 tls2:0", "tls:0 plain:1 tls2:2", &[]),
        ("two at once", "tls:1 gone:0 plain:0", "tls:0 gone:1 plain:1", &["dangling-reference", "tls-lost"]),
    ];
    for (what, before, after, expected) in table {
        let found = found(before, after);
        let ids: Vec<_> = found.iter().map(Harm::id).collect();
        assert_eq!(ids, expected, "{what}: {found:?}");
        assert!(found.iter().all(|harm| *harm.route() == id("r/x")));
    }
}

#[test]
fn harms_by_changes_of_nodes_are_found_too() {
    let route = r#"route r/x httpRoute {"prefix":"/"} a:1"#;
    let table: [(&str, &[&str], &[&str]); 6] = [
        ("TLS switched off", &["node a 80/http/DISABLED", route], &["tls-lost"]),
        ("TLS relaxed", &["node a 80/http/PERMISSIVE", route], &[]),
        ("node removed", &[route], &["route-drained", "dangling-reference"]),
        ("another protocol", &["node a 80/tcp/STRICT", route], &["protocol-mismatch"]),
        ("a second listener", &["node a 80/http/STRICT 81/http/STRICT", route], &["missing-listener-port"]),
        ("route removed", &["node a 80/http/STRICT"], &["route-drained"]),
    ];
    for (what, after, expected) in table {
        let found = harms(&mesh(&["node a 80/http/STRICT", route]), &mesh(after), [&id("r/x")]);
        assert_eq!(found.iter().map(Harm::id).collect::<Vec<_>>(), expected, "{what}");
    }
}

#[test]
fn a_target_without_traffic_had_nothing_to_lose() {
    let before = mesh(&["node a 80/http/STRICT", "node b 80/http", "route r/x httpRoute {} a:0 b:1"]);
    let after = mesh(&["node a 80/http", "node b 80/http", "route r/x httpRoute {} a:1 b:0"]);
    assert_eq!(harms(&before, &after, [&id("r/x")]), []);
}

#[test]
fn harm_has_a_text_and_a_stable_id() {
    let table = [
        (
            "tls:1 plain:0",
            "tls:0 plain:1",
            "route m/r/x would send traffic to virtual node plain in plain text that went to tls by TLS",
            json!({"harm": "tls-lost", "route": "m/r/x", "virtualNode": "plain", "from": ["tls"]}),
        ),
        (
            "plain:1 two@82:0",
            "plain:0 two@82:1",
            "route m/r/x would send traffic to virtual node two on port 82, where it doesn't listen; it listens on 80, 81",
            json!({"harm": "missing-listener-port", "route": "m/r/x", "virtualNode": "two", "port": 82, "listeners": [80, 81]}),
        ),
        (
            "plain:1 deaf:0",
            "plain:0 deaf:1",
            "route m/r/x would send traffic to virtual node deaf without naming a port; it listens on nothing",
            json!({"harm": "missing-listener-port", "route": "m/r/x", "virtualNode": "deaf", "port": null, "listeners": []}),
        ),
        (
            "plain:1 bytes:0",
            "plain:0 bytes:1",
            "httpRoute m/r/x would send traffic to virtual node bytes, which listens with protocol tcp",
            json!({"harm": "protocol-mismatch", "route": "m/r/x", "kind": "httpRoute", "virtualNode": "bytes", "protocol": "tcp"}),
        ),
        (
            "plain:1 gone:0",
            "plain:1 gone:1",
            "route m/r/x would send traffic to virtual node gone, which doesn't exist",
            json!({"harm": "dangling-reference", "route": "m/r/x", "virtualNode": "gone"}),
        ),
        (
            "plain:1",
            "plain:0",
            "route m/r/x would send no traffic to any node that exists: plain:0",
            json!({"harm": "route-drained", "route": "m/r/x", "after": [{"virtualNode": "plain", "weight": 0}]}),
        ),
    ];
    for (before, after, text, value) in table {
        let harm = found(before, after).remove(0);
        assert_eq!(harm.to_string(), text);
        assert_eq!(serde_json::to_value(&harm).unwrap(), value);
        assert_eq!(value["harm"], harm.id(), "the id is the tag");
        assert_eq!(serde_json::from_value::<Harm>(value).unwrap(), harm);
    }
}
