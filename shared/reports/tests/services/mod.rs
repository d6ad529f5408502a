//! Meshes of any number of services, some of them with faults, for tests of the page.

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::Spec;
use policy::Policy;
use policy::edges::{Edge, edges};
use reports::{History, MeshReport, page};
use rules::pack::{Evaluation, judge};
use serde_json::{Value, json};

/// A mesh with all values that a page shows of it.
pub(crate) struct Services {
    pub(crate) mesh: Mesh,
    pub(crate) edges: Vec<Edge>,
    pub(crate) evaluation: Evaluation,
}

pub(crate) fn now() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

impl Services {
    /// Services that each call two others further down and one of five shared ones, behind one gateway. One in five
    /// accepts plain text, one in nine names a missing service, and one in eleven has a router with two targets.
    pub(crate) fn new(count: usize) -> Self {
        Self::calling(count, |number| vec![number * 2 + 1, number * 2 + 2, count - 1 - number % count.min(5)])
    }

    /// A chain of services: each calls the next one.
    pub(crate) fn chain(count: usize) -> Self {
        Self::calling(count, |number| vec![number + 1])
    }

    fn calling(count: usize, callees: impl Fn(usize) -> Vec<usize>) -> Self {
        let mut mesh = Mesh::new("shop".parse().unwrap());
        let mut put = |path: String, kind, spec: Value| {
            mesh.insert(path.parse::<ResourcePath>().unwrap(), Spec::read(kind, &spec).unwrap()).unwrap();
        };
        put("mesh/shop".into(), ResourceKind::Mesh, json!({"egressFilter": {"type": "DROP_ALL"}}));
        let arn = "arn:aws:acm:eu-west-1:123456789012:certificate/5f6c2b1e-7a3d-4c58-9f0e-2d4b6a8c1e3f";
        let authority =
            "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/5f6c2b1e-7a3d-4c58-9f0e-2d4b6a8c1e3f";
        let validation = json!({"trust": {"acm": {"certificateAuthorityArns": [authority]}}});
        let client = json!({"clientPolicy": {"tls": {"enforce": false, "validation": validation}}});
        for number in 0..count {
            let name = name(number);
            let mut listener = json!({"portMapping": {"port": 8080, "protocol": "http"},
                "healthCheck": {"protocol": "http", "path": "/ping", "healthyThreshold": 2, "unhealthyThreshold": 2,
                    "timeoutMillis": 2000, "intervalMillis": 5000}});
            if number % 5 != 4 {
                listener["tls"] = json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": arn}}});
            }
            let mut called: Vec<usize> =
                callees(number).into_iter().filter(|called| number < *called && *called < count).collect();
            called.sort_unstable();
            called.dedup();
            let called = called.into_iter();
            let mut backends: Vec<Value> =
                called.map(|called| backend(&format!("{}.shop.local", self::name(called)))).collect();
            if number % 9 == 8 {
                backends.push(backend("retired.shop.local"));
            }
            let node = json!({"listeners": [listener], "backends": backends, "backendDefaults": client,
                "serviceDiscovery": {"dns": {"hostname": format!("{name}.internal")}},
                "logging": {"accessLog": {"file": {"path": "/dev/stdout"}}}});
            put(format!("mesh/shop/virtualNode/{name}"), ResourceKind::VirtualNode, node.clone());
            let mut provider = json!({"virtualNode": {"virtualNodeName": name}});
            if number % 11 == 10 {
                put(format!("mesh/shop/virtualNode/{name}-next"), ResourceKind::VirtualNode, node);
                put(
                    format!("mesh/shop/virtualRouter/{name}"),
                    ResourceKind::VirtualRouter,
                    json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]}),
                );
                let targets =
                    json!([{"virtualNode": name, "weight": 100}, {"virtualNode": format!("{name}-next"), "weight": 0}]);
                let route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}});
                put(format!("mesh/shop/virtualRouter/{name}/route/all"), ResourceKind::Route, route);
                provider = json!({"virtualRouter": {"virtualRouterName": name}});
            }
            put(
                format!("mesh/shop/virtualService/{name}.shop.local"),
                ResourceKind::VirtualService,
                json!({"provider": provider}),
            );
        }
        put(
            "mesh/shop/virtualGateway/front-door".into(),
            ResourceKind::VirtualGateway,
            json!({"listeners": [{"portMapping": {"port": 8088, "protocol": "http"}}]}),
        );
        let target = json!({"virtualService": {"virtualServiceName": format!("{}.shop.local", name(0))}});
        put(
            "mesh/shop/virtualGateway/front-door/gatewayRoute/all".into(),
            ResourceKind::GatewayRoute,
            json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": target}}}),
        );
        let readings = Readings::default();
        let evaluation = judge(&mesh, &readings, &Policy::built_in().unwrap(), now());
        let edges = edges(&mesh, &readings, now());
        Self { mesh, edges, evaluation }
    }

    pub(crate) fn page(&self) -> String {
        let Self { mesh, edges, evaluation } = self;
        let mut history = History::default();
        drop(history.update(&evaluation.findings, now()));
        page(&MeshReport { mesh, edges, evaluation, history: &history, at: now(), unread: &[] })
    }
}

/// The name of a service by its purpose, so that names differ as in a real mesh.
pub(crate) fn name(number: usize) -> String {
    const WORDS: [&str; 12] = [
        "catalog",
        "checkout",
        "payments",
        "inventory",
        "search",
        "reviews",
        "orders",
        "shipping",
        "accounts",
        "recommendations",
        "pricing",
        "notifications",
    ];
    format!("{}-{number:03}", WORDS[number % WORDS.len()])
}

fn backend(service: &str) -> Value {
    json!({"virtualService": {"virtualServiceName": service}})
}
