use mesh::graph::dangling;

use super::samples::mesh;

#[test]
fn every_reference_that_leads_nowhere_is_found() {
    let table: [(&str, &[&str], &[&str]); 9] = [
        ("backend", &["node a > s", "service t"], &["virtualNode/a -> virtualService/s"]),
        ("node provider", &["service s node a"], &["virtualService/s -> virtualNode/a"]),
        ("router provider", &["service s router r"], &["virtualService/s -> virtualRouter/r"]),
        (
            "router of which only routes are there",
            &["service s router r", "route r/x tcpRoute {} a:1", "node a"],
            &["virtualRouter/r/route/x -> virtualRouter/r", "virtualService/s -> virtualRouter/r"],
        ),
        (
            "targets, drained ones too, each once",
            &["router r", "route r/x tcpRoute {} a:1 b:0 b@80:1 c:1", "node c"],
            &["virtualRouter/r/route/x -> virtualNode/a", "virtualRouter/r/route/x -> virtualNode/b"],
        ),
        (
            "gateway route's target",
            &["gateway g", "gateway-route g/x s"],
            &["virtualGateway/g/gatewayRoute/x -> virtualService/s"],
        ),
        ("gateway", &["gateway-route g/x s", "service s"], &["virtualGateway/g/gatewayRoute/x -> virtualGateway/g"]),
        ("a service without provider", &["service s", "node a > s"], &[]),
        ("nothing", &[], &[]),
    ];
    for (what, lines, expected) in table {
        let found: Vec<_> = dangling(&mesh(lines)).iter().map(|d| format!("{} -> {}", d.from, d.to)).collect();
        let expected: Vec<_> = expected.iter().map(|row| row.replace("virtual", "mesh/m/virtual")).collect();
        assert_eq!(found, expected, "{what}");
    }
}
