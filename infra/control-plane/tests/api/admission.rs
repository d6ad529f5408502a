//! Writes that are judged by the policy pack before they are done.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use control_plane::{AdmissionMode, AdmissionSettings, Server, Settings};
use mesh::pack::Severity;
use serde_json::{Value, json};

use crate::client::{ARN, Plane};
use crate::fixture::{router, samples};
use crate::process;

const FINDINGS: &str = "x-meshwarden-findings";
const MESH: &str = "/meshes/shop";

/// A policy's file, gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("meshwarden-admission-{}-{name}.yaml", std::process::id())));
        file.write(text);
        file
    }

    /// As people are told to: a new file takes the old one's place.
    fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &self.0).unwrap();
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn plane(mode: AdmissionMode, severity: Severity, policy: Option<&File>) -> Plane {
    let policy = policy.map(|file| file.path().to_owned());
    Plane::judging(AdmissionSettings { mode, severity, policy }).await
}

/// A policy that asks only this rule, at this severity.
fn only(rule: &str, severity: &str) -> String {
    let off = mesh::pack::rules().filter(|other| other.id != rule);
    let off = off.map(|other| format!("  {}: {{enabled: false}}\n", other.id)).collect::<Vec<_>>().concat();
    format!("version: 1\nrules:\n  {rule}: {{severity: {severity}}}\n{off}")
}

fn open() -> Value {
    json!({"spec": {"egressFilter": {"type": "ALLOW_ALL"}}})
}

fn closed() -> Value {
    json!({"spec": {"egressFilter": {"type": "DROP_ALL"}}})
}

async fn mesh(plane: &Plane) {
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
}

#[tokio::test]
async fn without_it_nothing_is_told_or_refused() {
    let plane = Plane::start().await;
    mesh(&plane).await;
    let reply = plane.put(MESH, open()).await;
    assert_eq!(reply.header(FINDINGS), None);
    reply.ok();
}

#[tokio::test]
async fn a_warning_is_told_with_a_write_that_is_done() {
    let file = File::new("warn", &only("mesh-egress-open", "high"));
    let plane = plane(AdmissionMode::Warn, Severity::High, Some(&file)).await;
    mesh(&plane).await;
    let reply = plane.put(MESH, open()).await;
    let told = reply.header(FINDINGS).unwrap().to_owned();
    let (count, id) = told.split_once("; ").unwrap();
    assert!(count == "1" && id.len() == 16, "{told}");
    assert_eq!(reply.ok()["spec"]["egressFilter"]["type"], "ALLOW_ALL");

    let again = plane.put(MESH, open()).await;
    assert_eq!(again.header(FINDINGS), None, "it was there before");
    let (_, metrics) = plane.beside("/metrics").await;
    let line = r#"meshwarden_admission_findings_total{outcome="warned",severity="high"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

/// A node for a host outside has no proxy, so that a client policy with TLS has nothing to disagree with.
#[tokio::test]
async fn call_by_tls_to_a_host_outside_the_mesh_is_admitted() {
    let plane = plane(AdmissionMode::Deny, Severity::Low, None).await;
    mesh(&plane).await;
    let listener = json!({"portMapping": {"port": 443, "protocol": "http"}});
    let api = json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "api.breeds.example"}}});
    let nodes = &format!("{MESH}/virtualNodes");
    plane.put(nodes, json!({"virtualNodeName": "api", "spec": api})).await.ok();
    let provider = json!({"virtualNode": {"virtualNodeName": "api"}});
    let service = json!({"virtualServiceName": "api.breeds.example", "spec": {"provider": provider}});
    plane.put(&format!("{MESH}/virtualServices"), service).await.ok();
    let caller = |policy: Value| {
        let backend = json!({"virtualServiceName": "api.breeds.example", "clientPolicy": policy});
        json!({"virtualNodeName": "web", "spec": {"backends": [{"virtualService": backend}]}})
    };
    let message = plane.put(nodes, caller(json!({}))).await.error("BadRequestException");
    assert!(message.contains("edge-plaintext"), "{message}");
    let trust = json!({"file": {"certificateChain": "/etc/pki/tls/certs/ca-bundle.crt"}});
    let reply = plane.put(nodes, caller(json!({"tls": {"enforce": true, "validation": {"trust": trust}}}))).await;
    assert_eq!(reply.header(FINDINGS), None);
    reply.ok();
}

#[tokio::test]
async fn a_refused_write_is_not_done_and_says_why() {
    let plane = plane(AdmissionMode::Deny, Severity::High, None).await;
    mesh(&plane).await;
    let message = plane.put(MESH, open()).await.error("BadRequestException");
    for part in ["mesh-egress-open", "mesh/shop", "ALLOW_ALL", "DROP_ALL", "waiver"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let now = plane.get(MESH).await.ok();
    assert_eq!((&now["metadata"]["version"], &now["spec"]), (&json!(1), &json!({})));
    plane.put_if(7, MESH, open()).await.error("ConflictException");
    plane.put(MESH, closed()).await.ok();
}

#[tokio::test]
async fn a_mesh_can_be_built_up_although_much_is_missing_on_the_way() {
    let plane = plane(AdmissionMode::Deny, Severity::High, None).await;
    for sample in
        samples().into_iter().filter(|sample| sample.kind != "gatewayRoute" && sample.kind != "virtualGateway")
    {
        plane.put(sample.collection, sample.body()).await.ok();
    }
    let mut caller = crate::fixture::node("front.shop.local");
    caller["backends"] = json!([{"virtualService": {"virtualServiceName": "comes-later.shop.local"}}]);
    let body = json!({"virtualNodeName": "front", "spec": caller});
    assert!(plane.put("/meshes/shop/virtualNodes", body).await.header(FINDINGS).is_some(), "told all the same");
}

/// A write by which a call that worked would fail is refused or reported, although the damage is at the caller.
#[tokio::test]
async fn write_that_cuts_traffic_elsewhere_is_refused_or_reported() {
    let cut = |plane: Plane| async move {
        for sample in samples() {
            plane.put(sample.collection, sample.body()).await.ok();
        }
        let mut caller = crate::fixture::node("front.shop.local");
        caller["backends"] = json!([{"virtualService": {"virtualServiceName": "a b/orders.local"}}]);
        plane.put("/meshes/shop/virtualNodes", json!({"virtualNodeName": "front", "spec": caller})).await.ok();
        // The callers of the service go on calling port 8080.
        plane.put("/meshes/shop/virtualRouters/orders", json!({"spec": router(8081)})).await
    };
    let policy = File::new("cut", &only("service-without-provider", "info"));
    let message =
        cut(plane(AdmissionMode::Deny, Severity::Critical, Some(&policy)).await).await.error("BadRequestException");
    for part in ["mesh/shop/virtualNode/front", "a b/orders.local", "8080", "8081", "waiver"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let reply = cut(plane(AdmissionMode::Warn, Severity::Critical, Some(&policy)).await).await;
    assert!(reply.header(FINDINGS).is_some_and(|told| told.starts_with("1; ")), "{reply:?}");
    reply.ok();
    let reply = cut(Plane::start().await).await;
    assert_eq!(reply.header(FINDINGS), None);
    reply.ok();
}

#[tokio::test]
async fn tags_are_judged_with_the_write_that_sets_them() {
    let text = format!("{}tags:\n  required:\n    - {{key: owner}}\n", only("tag-missing", "high"));
    let file = File::new("tags", &text);
    let plane = plane(AdmissionMode::Deny, Severity::High, Some(&file)).await;
    plane.put("/meshes", json!({"meshName": "shop"})).await.error("BadRequestException");
    let owned = json!({"meshName": "shop", "tags": [{"key": "owner", "value": "orders"}]});
    plane.put("/meshes", owned).await.ok();
    let untag = format!("/untag?resourceArn={ARN}mesh/shop");
    plane.put(&untag, json!({"tagKeys": ["owner"]})).await.error("BadRequestException");
}

#[tokio::test]
async fn a_waiver_lets_a_write_pass_until_it_is_gone() {
    let rule = only("mesh-egress-open", "high");
    let waiver = "waivers:\n  - {rule: mesh-egress-open, resource: mesh/shop, owner: shop, reason: a move, until: 2999-01-01T00:00:00Z}\n";
    let file = File::new("waiver", &format!("{rule}{waiver}"));
    let plane = plane(AdmissionMode::Deny, Severity::High, Some(&file)).await;
    mesh(&plane).await;
    assert_eq!(plane.put(MESH, open()).await.header(FINDINGS), None);
    plane.put(MESH, closed()).await.ok();
    file.write(&rule);
    plane.put(MESH, open()).await.error("BadRequestException");
}

#[tokio::test]
async fn a_policy_that_is_broken_later_leaves_the_last_good_one() {
    let good = only("mesh-egress-open", "high");
    let file = File::new("broken", &good);
    let plane = plane(AdmissionMode::Deny, Severity::High, Some(&file)).await;
    mesh(&plane).await;
    for broken in ["version: 1\ntls: {require: perhaps}\n", ""] {
        file.write(broken);
        plane.put(MESH, open()).await.error("BadRequestException");
        let (status, text) = plane.beside("/readyz").await;
        assert!(status == 200 && text.contains("policy"), "{status} {text}");
    }
    file.write(&only("node-unused", "high"));
    plane.put(MESH, open()).await.ok();
    assert_eq!(plane.beside("/readyz").await, (200, r#"{"status":"ok"}"#.to_owned()));
}

#[test]
fn a_policy_that_is_broken_at_the_start_is_told_with_its_place() {
    let file = File::new("start", "version: 1\nmodes:\n  default: forced\n");
    let path = file.path().to_str().unwrap();
    let ended = process::command(&["--admission", "warn", "--policy", path]).output().unwrap();
    let text = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("line 3") && text.contains("column") && text.contains("modes.default"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_writers_at_once_one_sees_the_other() {
    const PAIRS: usize = 40;
    // Found on the name in small letters: that write is refused when it comes second, and told by the other otherwise.
    let file = File::new("race", &only("names-differ-by-case", "high"));
    let plane = Arc::new(plane(AdmissionMode::Deny, Severity::High, Some(&file)).await);
    mesh(&plane).await;
    let write = |name: String| {
        let plane = Arc::clone(&plane);
        tokio::spawn(async move {
            let body = json!({"virtualRouterName": name, "spec": router(8080)});
            plane.put("/meshes/shop/virtualRouters", body).await
        })
    };
    let pairs: Vec<_> = (0..PAIRS).map(|n| (write(format!("A{n}")), write(format!("a{n}")))).collect();
    for (large, small) in pairs {
        let (large, small) = (large.await.unwrap(), small.await.unwrap());
        let told = large.header(FINDINGS).is_some();
        large.ok();
        if told {
            small.ok();
        } else {
            small.error("BadRequestException");
        }
    }
}

impl Plane {
    async fn judging(admission: AdmissionSettings) -> Self {
        let settings = Self::settings();
        Self::serving(Server::bind(Settings { admission, ..settings }).await.unwrap())
    }
}
