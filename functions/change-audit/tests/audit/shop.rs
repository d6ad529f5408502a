//! A mesh, the function that audits it, and its in-memory services.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use change_audit::{NAME, Ports, function};
use jiff::{SignedDuration, Timestamp};
use mesh::name::ResourcePath;
use mesh::spec::Spec;
use policy::{BUILT_IN, Policy};
use ports::{Deadline, StateKey, StateStore as _};
use ports_memory::{ACCOUNT, Faults, MemoryPolicy, MemoryPorts};
use runner::{Emitter, Invocation, PolicyKeeper};
use serde_json::{Value, json};

pub(crate) const RECS: &str = "mesh/shop/virtualNode/recs-v1";
pub(crate) const ROUTE: &str = "mesh/shop/virtualRouter/recs/route/main";

pub(crate) fn morning() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

pub(crate) fn node(mode: Option<&str>) -> Value {
    let mut listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
    if let Some(mode) = mode {
        let acm = json!({ "certificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/5f6c2b1e" });
        listener["tls"] = json!({ "mode": mode, "certificate": { "acm": acm } });
    }
    json!({ "listeners": [listener], "serviceDiscovery": { "dns": { "hostname": "recs-v1.internal" } } })
}

pub(crate) fn route(target: &str) -> Value {
    let targets = json!([{ "virtualNode": target, "weight": 1 }]);
    json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } })
}

/// A mesh in which `web` calls `recs-v1` with TLS, and the function, which read the mesh at ten.
pub(crate) struct Shop {
    pub(crate) ports: MemoryPorts,
    pub(crate) reports: bool,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let ports = MemoryPorts::at(morning());
        let backends = json!([{ "virtualService": { "virtualServiceName": "recs.local" } }]);
        for (path, spec) in [
            ("mesh/shop", json!({ "egressFilter": { "type": "DROP_ALL" } })),
            ("mesh/shop/virtualNode/web", json!({ "backends": backends })),
            (RECS, node(Some("STRICT"))),
            (
                "mesh/shop/virtualRouter/recs",
                json!({ "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }] }),
            ),
            (ROUTE, route("recs-v1")),
            (
                "mesh/shop/virtualService/recs.local",
                json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } }),
            ),
        ] {
            ports.mesh.put_spec(&path.parse().unwrap(), &spec).unwrap();
        }
        Self { ports, reports: true }
    }

    pub(crate) async fn open() -> Self {
        let shop = Self::new();
        assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["FirstSight"]);
        shop.ports.clock.advance(SignedDuration::from_mins(4));
        shop
    }

    /// Writes a spec, as an operator does.
    pub(crate) fn edit(&self, path: &str, spec: &Value) {
        let path: ResourcePath = path.parse().unwrap();
        self.ports.mesh.edit_resource(&path, Spec::read(path.kind(), spec).unwrap());
    }

    pub(crate) fn tag(&self, path: &str, tags: &[(&str, &str)]) {
        let tags: BTreeMap<String, String> =
            tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.ports.mesh.set_tags(&format!("arn:aws:appmesh:eu-west-1:{ACCOUNT}:{path}"), tags);
    }

    /// A new process handles an event.
    pub(crate) async fn answer(&self, event: &Value) -> Result<Value, String> {
        self.answer_within(Duration::from_mins(1), event).await
    }

    pub(crate) async fn answer_within(&self, time: Duration, event: &Value) -> Result<Value, String> {
        // With every rule enabled, the small mesh has findings to report.
        let every_rule = BUILT_IN.replace("profile: recommended", "profile: strict");
        let every_rule = every_rule.replace("required: []", "required: [{ key: owner }, { key: environment }]");
        let source = MemoryPolicy::new(&every_rule, Faults::default());
        let policy = PolicyKeeper::start(Box::new(source), Policy::read, morning()).await.unwrap();
        let ports = Ports {
            clock: Arc::new(self.ports.clock.clone()),
            meshes: Arc::new(self.ports.mesh.clone()),
            state: Arc::new(self.ports.state.clone()),
            notifier: Arc::new(self.ports.notifier.clone()),
            bus: Arc::new(self.ports.bus.clone()),
            reports: self.reports.then(|| Arc::new(self.ports.reports.clone()) as _),
        };
        let deadline = Deadline::after(time);
        let invocation = Invocation { function: NAME, request_id: "r", deadline };
        let emitter = Emitter::to(std::io::sink());
        invocation.answer(&function(ports, policy), &emitter, event).await.map_err(|error| error.to_string())
    }

    /// The reasons in the answer to a sample event; for a batch, the failed messages.
    pub(crate) async fn invoke(&self, event: &str) -> Result<Vec<String>, String> {
        self.answer(&sample(event)).await.map(|answer| reasons(&answer))
    }

    pub(crate) async fn invoke_with(&self, event: &Value) -> Vec<String> {
        reasons(&self.answer(event).await.unwrap())
    }

    /// Deletes the mesh with its resources, and returns their number.
    pub(crate) fn delete(&self) -> usize {
        let paths = ["virtualService/recs.local", "virtualRouter/recs/route/main", "virtualRouter/recs"];
        let paths = paths.into_iter().chain(["virtualNode/recs-v1", "virtualNode/web"]);
        let mut paths: Vec<String> = paths.map(|path| format!("mesh/shop/{path}")).collect();
        paths.push("mesh/shop".to_owned());
        for path in &paths {
            self.ports.mesh.remove(&path.parse().unwrap());
        }
        paths.len()
    }

    pub(crate) fn subjects(&self) -> Vec<String> {
        self.ports.notifier.sent().into_iter().map(|notice| notice.subject).collect()
    }

    pub(crate) async fn journal(&self) -> Vec<Value> {
        let key = StateKey::mesh(NAME, &"shop".parse().unwrap());
        self.ports.state.journal(&key, 100).await.unwrap().into_iter().map(|entry| entry.body).collect()
    }

    pub(crate) fn document(&self) -> Value {
        let stored = self.ports.state.stored(&StateKey::mesh(NAME, &"shop".parse().unwrap()));
        stored.map_or(Value::Null, |stored| stored.document)
    }
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/change-audit")
}

pub(crate) fn sample(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap()).unwrap()
}

pub(crate) fn reasons(answer: &Value) -> Vec<String> {
    match answer.get("decisions").and_then(Value::as_array) {
        Some(decisions) => decisions.iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect(),
        None => vec![answer["batchItemFailures"].to_string()],
    }
}

/// Makes the change that an event reports.
pub(crate) fn happen(shop: &Shop, event: &str) {
    match event {
        "cloudtrail-update-virtual-node" | "sns-cloudtrail" | "sqs-sns-cloudtrail" => shop.edit(RECS, &node(None)),
        "cloudtrail-create-virtual-node" => {
            let path = "mesh/shop/virtualNode/recs-v2".parse().unwrap();
            shop.ports.mesh.put_spec(&path, &node(None)).unwrap();
        }
        "cloudtrail-delete-virtual-node" => shop.ports.mesh.remove(&RECS.parse().unwrap()),
        "control-plane-tag-resource" => shop.tag(RECS, &[("owner", "recs")]),
        "control-plane-route-failover" => shop.edit(ROUTE, &route("recs-v1")),
        "sqs-mesh-writes" => {
            shop.edit(RECS, &node(None));
            shop.tag(RECS, &[("owner", "recs")]);
        }
        "tick-rule" | "cloudtrail-denied" | "cloudtrail-refused" | "cloudtrail-describe" => {}
        other => panic!("no change is defined for {other}"),
    }
}
