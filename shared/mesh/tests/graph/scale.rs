#![expect(clippy::disallowed_methods, reason = "this measures time, which the crate itself never does")]

use std::time::{Duration, Instant};

use mesh::graph::{Links, Mesh, dangling, shadowed_routes, unreachable_routes};

use super::samples::mesh;

/// Far more than the tens of milliseconds that it takes without optimisation, and far less than anything quadratic.
const PLENTY: Duration = Duration::from_secs(5);

/// 2,500 services, each with a router, a route to two nodes, and a caller.
fn ten_thousand() -> Mesh {
    let mut lines = Vec::new();
    for n in 0..2_500 {
        let (next, prefix) = ((n + 1) % 2_500, r#"{"prefix":"/"}"#);
        lines.push(format!("service s{n} router r{n}"));
        lines.push(format!("router r{n} 80/http"));
        lines.push(format!("route r{n}/all httpRoute {prefix} n{n}:100 n{next}:0"));
        lines.push(format!("node n{n} 80/http > s{next}"));
    }
    mesh(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn ten_thousand_resources_take_seconds() {
    let mesh = ten_thousand();
    assert_eq!(mesh.resources().len(), 10_000);
    let start = Instant::now();
    let links = Links::new(&mesh);
    assert_eq!(links.all_callers_of_node(&"n0".parse().unwrap()).len(), 2_500);
    assert_eq!(dangling(&mesh), []);
    assert_eq!(unreachable_routes(&mesh), []);
    assert_eq!(shadowed_routes(&mesh), []);
    let took = start.elapsed();
    println!("10,000 resources took {took:?}");
    assert!(took < PLENTY, "{took:?}");
}
