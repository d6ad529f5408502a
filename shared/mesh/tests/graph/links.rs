use mesh::graph::{Links, Mesh, ServiceCaller};

use super::samples::{mesh, name};

fn shop() -> Mesh {
    mesh(&[
        "gateway edge",
        "gateway-route edge/root web.local",
        "service web.local node web",
        "node web 80/http > recs.local prices.local",
        "service recs.local router recs",
        "router recs 80/http",
        r#"route recs/all httpRoute {"prefix":"/"} recs-v1:100 recs-v2:0"#,
        "node recs-v1 80/http > prices.local",
        "node recs-v2 80/http > gone.local",
        "service prices.local node prices",
        "node prices 80/http > web.local",
        "node alone 80/http",
    ])
}

#[test]
fn callers_are_followed_through_services_and_routes() {
    let mesh = shop();
    let links = Links::new(&mesh);
    let table: [(&str, &[&str], &[&str]); 5] = [
        ("web", &["node prices", "gateway edge"], &["node prices", "node recs-v1", "node web", "gateway edge"]),
        ("recs-v1", &["node web"], &["node prices", "node recs-v1", "node web", "gateway edge"]),
        ("recs-v2", &["node web"], &["node prices", "node recs-v1", "node web", "gateway edge"]),
        ("prices", &["node recs-v1", "node web"], &["node prices", "node recs-v1", "node web", "gateway edge"]),
        ("alone", &[], &[]),
    ];
    for (node, direct, all) in table {
        let show = |callers: std::collections::BTreeSet<ServiceCaller>| -> Vec<String> {
            let show = |caller: &ServiceCaller| match caller {
                ServiceCaller::VirtualNode(name) => format!("node {name}"),
                ServiceCaller::VirtualGateway(name) => format!("gateway {name}"),
            };
            callers.iter().map(show).collect()
        };
        assert_eq!(show(links.callers_of_node(&name(node))), direct, "{node}");
        assert_eq!(show(links.all_callers_of_node(&name(node))), all, "{node}");
    }
}

#[test]
fn references_are_indexed_both_ways() {
    let mesh = shop();
    let links = Links::new(&mesh);
    let service = "recs.local".parse().unwrap();
    let nodes: Vec<_> = links.nodes_of_service(&service).map(ToString::to_string).collect();
    assert_eq!(nodes, ["recs-v1", "recs-v2"], "a drained target is one");
    let services: Vec<_> = links.services_of_node(&name("recs-v2")).map(ToString::to_string).collect();
    assert_eq!(services, ["recs.local"]);
    let routes: Vec<_> = links.routes_of_node(&name("recs-v2")).map(ToString::to_string).collect();
    assert_eq!(routes, ["m/recs/all"]);
    assert_eq!(mesh.routes_to(&name("recs-v2")).count(), 1);
    assert_eq!(links.callers_of_service(&"gone.local".parse().unwrap()).count(), 1, "dangling ones too");
}
