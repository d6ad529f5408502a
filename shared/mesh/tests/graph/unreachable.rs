use mesh::graph::{UnreachableReason, unreachable_routes};

use super::samples::mesh;

#[test]
fn routes_that_no_request_reaches_are_found() {
    let route = r#"route r/x httpRoute {"port":81} a:1"#;
    let listeners = "router r 80/http 81/http";
    let port = 81.try_into().unwrap();
    let table: [(&str, &[&str], Option<UnreachableReason>); 7] = [
        ("called", &[route, listeners, "service s router r", "node c > s"], None),
        (
            "called by one of two services",
            &[route, listeners, "service s router r", "service t router r", "node c > t"],
            None,
        ),
        ("called by a gateway", &[route, listeners, "service s router r", "gateway-route g/x s"], None),
        ("no service", &[route, listeners, "service s node a", "node c > s"], Some(UnreachableReason::NoService)),
        ("no caller", &[route, listeners, "service s router r", "node c > t"], Some(UnreachableReason::NoCaller)),
        (
            "no listener",
            &[route, "router r 80/http", "service s router r", "node c > s"],
            Some(UnreachableReason::NoListener { port }),
        ),
        ("router not there: dangling, not this", &[route, "service s router r", "node c > s"], None),
    ];
    for (what, lines, reason) in table {
        let found: Vec<_> = unreachable_routes(&mesh(lines)).into_iter().map(|found| found.reason).collect();
        assert_eq!(found, Vec::from_iter(reason), "{what}");
    }
}
