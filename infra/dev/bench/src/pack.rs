//! The policy rules over meshes of three sizes, on one core.

use std::error::Error;
use std::time::Instant;

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use mesh::resource::{Tag, Tags};
use mesh::spec::Spec;
use policy::Policy;
use rules::pack::judge;
use serde_json::{Value, json};

use crate::{Row, median};

/// The resources of each service of the mesh: node, service, router, two routes.
const RESOURCES_PER_SERVICE: usize = 5;
/// The backends of each node.
const BACKENDS: usize = 5;
/// Services per gateway.
const SERVICES_PER_GATEWAY: usize = 100;

/// The quality of a mesh's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quality {
    /// Encrypted, tagged, with health checks: few findings.
    Good,
    /// Hardly more than the required members: many findings per resource.
    Poor,
}

/// The rules at 1,000, 10,000 and 100,000 resources.
pub(crate) fn measure() -> Result<Vec<Row>, Box<dyn Error>> {
    let policy = Policy::built_in()?;
    let mut rows = Vec::new();
    for (quality, what) in [
        (Quality::Good, "policy pack, a well-kept mesh of 10,000 resources, one core"),
        (Quality::Poor, "policy pack, a badly kept mesh of 10,000 resources, one core"),
    ] {
        let mut spans = Vec::new();
        let mut findings = 0;
        for (resources, turns) in [(1_000, 41), (10_000, 21), (100_000, 7)] {
            let mesh = large_mesh(resources, quality)?;
            let times = (0..turns).map(|_| {
                let began = Instant::now();
                let found = judge(&mesh, &Readings::default(), &policy, Timestamp::UNIX_EPOCH).findings.len();
                if resources == 10_000 {
                    findings = found;
                }
                began.elapsed().as_secs_f64() * 1000.0
            });
            spans.push(median(times.collect()));
        }
        let [small, middle, large] = spans.as_slice() else { continue };
        rows.push(Row {
            what,
            figure: format!("{middle:.1} ms, {findings} findings"),
            relation: format!("1,000 in {small:.2} ms, 100,000 in {large:.0} ms: {:.1} x", large / middle),
        });
    }
    Ok(rows)
}

/// A mesh with about this many resources: services behind routers with two routes each. Their nodes call later
/// services, and some services are behind gateways.
fn large_mesh(resources: usize, quality: Quality) -> Result<Mesh, Box<dyn Error>> {
    let services = resources / RESOURCES_PER_SERVICE;
    let mut mesh = Mesh::new(MeshName::parse("large")?);
    let mut put = |path: String, kind: ResourceKind, spec: Value| -> Result<(), Box<dyn Error>> {
        let spec = Spec::read(kind, &spec).map_err(|errors| format!("{path}: {errors:?}"))?;
        let path = ResourcePath::parse(&path)?;
        if quality == Quality::Good {
            mesh.set_tags(path.clone(), tags()?);
        } else {
            mesh.set_tags(path.clone(), Tags::default());
        }
        Ok(mesh.insert(path, spec)?)
    };
    let filter = if quality == Quality::Good { "DROP_ALL" } else { "ALLOW_ALL" };
    put("mesh/large".to_owned(), ResourceKind::Mesh, json!({"egressFilter": {"type": filter}}))?;
    for index in 0..services {
        // Calls have no cycles, as in a mesh of typical layout.
        let called = (1..=BACKENDS).map(|step| index + step * step).filter(|called| *called < services);
        let backends: Vec<Value> = called
            .map(|called| json!({"virtualService": {"virtualServiceName": format!("s{called}.local")}}))
            .collect();
        let at = |rest: &str| format!("mesh/large/{rest}");
        put(at(&format!("virtualNode/n{index}")), ResourceKind::VirtualNode, node(index, &backends, quality))?;
        let listeners = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]});
        put(at(&format!("virtualRouter/r{index}")), ResourceKind::VirtualRouter, listeners)?;
        for (name, prefix) in [("api", "/api"), ("all", "/")] {
            let targets = json!([
                {"virtualNode": format!("n{index}"), "weight": 90},
                {"virtualNode": format!("n{}", (index + 1) % services), "weight": 10},
            ]);
            let retries = json!({"maxRetries": 1, "perRetryTimeout": {"unit": "s", "value": 2},
                "httpRetryEvents": ["server-error"]});
            let mut route = json!({"match": {"prefix": prefix}, "action": {"weightedTargets": targets}});
            if let Some(route) = route.as_object_mut().filter(|_| quality == Quality::Good) {
                route.insert("retryPolicy".to_owned(), retries);
            }
            let path = at(&format!("virtualRouter/r{index}/route/{name}"));
            put(path, ResourceKind::Route, json!({"httpRoute": route}))?;
        }
        let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": format!("r{index}")}}});
        put(at(&format!("virtualService/s{index}.local")), ResourceKind::VirtualService, provider)?;
        if index % SERVICES_PER_GATEWAY == 0 {
            let gateway = format!("virtualGateway/g{}", index / SERVICES_PER_GATEWAY);
            let listener = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]});
            put(at(&gateway), ResourceKind::VirtualGateway, listener)?;
            let target = json!({"target": {"virtualService": {"virtualServiceName": format!("s{index}.local")}}});
            let route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": target}});
            put(at(&format!("{gateway}/gatewayRoute/all")), ResourceKind::GatewayRoute, route)?;
        }
    }
    Ok(mesh)
}

fn node(index: usize, backends: &[Value], quality: Quality) -> Value {
    let port = json!({"port": 8080, "protocol": "http"});
    let discovery = json!({"dns": {"hostname": format!("n{index}.large.local")}});
    if quality == Quality::Poor {
        let listeners = json!([{ "portMapping": port }]);
        return json!({"listeners": listeners, "serviceDiscovery": discovery, "backends": backends});
    }
    let sds = json!({"sds": {"secretName": format!("n{index}")}});
    let trust = json!({"trust": {"sds": {"secretName": "mesh-ca"}}});
    let span = |value: u32| json!({"unit": "s", "value": value});
    json!({
        "listeners": [{
            "portMapping": port,
            "tls": {"mode": "STRICT", "certificate": sds, "validation": trust},
            "healthCheck": {"protocol": "http", "path": "/healthz", "port": 8080, "healthyThreshold": 2,
                "unhealthyThreshold": 2, "intervalMillis": 5000, "timeoutMillis": 2000},
            "outlierDetection": {"maxServerErrors": 5, "interval": span(10), "baseEjectionDuration": span(30),
                "maxEjectionPercent": 50},
            "connectionPool": {"http": {"maxConnections": 100, "maxPendingRequests": 100}},
            "timeout": {"http": {"idle": span(60), "perRequest": span(15)}},
        }],
        "serviceDiscovery": discovery,
        "backends": backends,
        "backendDefaults": {"clientPolicy": {"tls": {"enforce": true, "certificate": sds, "validation": {
            "trust": {"sds": {"secretName": "mesh-ca"}},
        }}}},
        "logging": {"accessLog": {"file": {"path": "/dev/stdout"}}},
    })
}

fn tags() -> Result<Tags, Box<dyn Error>> {
    let mut all = Tags::default();
    for (key, value) in [("owner", "payments"), ("environment", "production")] {
        all.merge([serde_json::from_value::<Tag>(json!({"key": key, "value": value}))?])?;
    }
    Ok(all)
}
