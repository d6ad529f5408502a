#![expect(clippy::disallowed_methods, reason = "this measures time, which the crate itself never does")]

use std::time::{Duration, Instant};

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::spec::Spec;
use policy::Policy;
use rules::pack::evaluate;
use serde_json::{Value, json};

/// Far more than it takes without optimisation on a busy machine, and far less than anything quadratic.
const PLENTY: Duration = Duration::from_secs(20);

fn add(mesh: &mut Mesh, path: &str, spec: &Value) {
    let path = ResourcePath::parse(&format!("mesh/shop{path}")).unwrap();
    let spec = Spec::read(path.kind(), spec).unwrap();
    mesh.insert(path, spec).unwrap();
}

fn empty() -> Mesh {
    let mut mesh = Mesh::new("shop".parse().unwrap());
    add(&mut mesh, "", &json!({}));
    mesh
}

fn listener() -> Value {
    json!({"portMapping": {"port": 80, "protocol": "http"}})
}

fn node(mesh: &mut Mesh, name: &str, backends: &[String]) {
    let backends: Vec<Value> =
        backends.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
    let host = json!({"dns": {"hostname": format!("{name}.local")}});
    add(
        mesh,
        &format!("/virtualNode/{name}"),
        &json!({"listeners": [listener()], "backends": backends, "serviceDiscovery": host}),
    );
}

fn service(mesh: &mut Mesh, name: &str, targets: &[String]) {
    let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": name}}});
    add(mesh, &format!("/virtualService/{name}"), &provider);
    add(mesh, &format!("/virtualRouter/{name}"), &json!({"listeners": [listener()]}));
    let targets: Vec<Value> = targets.iter().map(|node| json!({"virtualNode": node, "weight": 50})).collect();
    let route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}});
    add(mesh, &format!("/virtualRouter/{name}/route/all"), &route);
}

/// Each node calls the next: the longest possible call path.
fn line(length: usize) -> Mesh {
    let mut mesh = empty();
    for n in 0..length {
        node(&mut mesh, &format!("n{n}"), &[format!("s{}", n + 1)]);
        service(&mut mesh, &format!("s{n}"), &[format!("n{n}"), format!("n{}", (n + 1) % length)]);
    }
    mesh
}

/// All nodes call one service.
fn star(callers: usize) -> Mesh {
    let mut mesh = empty();
    node(&mut mesh, "hub", &[]);
    service(&mut mesh, "hub", &["hub".to_owned()]);
    for n in 0..callers {
        node(&mut mesh, &format!("n{n}"), &["hub".to_owned()]);
    }
    mesh
}

/// One router with all routes.
fn heap(routes: usize) -> Mesh {
    let mut mesh = empty();
    node(&mut mesh, "hub", &[]);
    service(&mut mesh, "hub", &["hub".to_owned()]);
    for n in 0..routes {
        let route = json!({"httpRoute": {"match": {"prefix": format!("/{n}")},
            "action": {"weightedTargets": [{"virtualNode": "hub", "weight": 1}]}}});
        add(&mut mesh, &format!("/virtualRouter/hub/route/r{n}"), &route);
    }
    mesh
}

#[test]
fn ten_thousand_resources_of_any_shape_take_seconds() {
    let policy = Policy::built_in().unwrap();
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    for (shape, mesh) in [("line", line(2_500)), ("star", star(10_000)), ("heap", heap(10_000))] {
        let start = Instant::now();
        let findings = evaluate(&mesh, &policy, now).len();
        let took = start.elapsed();
        println!("{shape}: {} resources, {findings} findings, {took:?}", mesh.paths().len());
        assert!(took < PLENTY, "{shape}: {took:?}");
    }
}
