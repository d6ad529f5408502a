//! Admission: writes that the policy pack judges before they are stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use control_plane::{AdmissionMode, AdmissionSettings, Server, Settings};
use rules::pack::Severity;
use serde_json::{Value, json};

use crate::client::{ARN, Plane};
use crate::fixture::{router, samples};
use crate::process;

const FINDINGS: &str = "x-meshwarden-findings";
const MESH: &str = "/meshes/shop";

/// A policy file, removed with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("meshwarden-admission-{}-{name}.yaml", std::process::id())));
        file.write(text);
        file
    }

    /// Replaces the file by a new one, as operators are advised to do.
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

/// A policy with only this rule, at this severity.
fn only(rule: &str, severity: &str) -> String {
    let off = rules::pack::rules().filter(|other| other.id != rule);
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
async fn without_admission_no_write_has_findings() {
    let plane = Plane::start().await;
    mesh(&plane).await;
    let reply = plane.put(MESH, open()).await;
    assert_eq!(reply.header(FINDINGS), None);
    reply.ok();
}

#[tokio::test]
async fn a_warning_is_returned_with_a_stored_write() {
    let file = File::new("warn", &only("mesh-egress-open", "high"));
    let plane = plane(AdmissionMode::Warn, Severity::High, Some(&file)).await;
    mesh(&plane).await;
    let reply = plane.put(MESH, open()).await;
    let header = reply.header(FINDINGS).unwrap().to_owned();
    let (count, id) = header.split_once("; ").unwrap();
    assert!(count == "1" && id.len() == 16, "{header}");
    assert_eq!(reply.ok()["spec"]["egressFilter"]["type"], "ALLOW_ALL");

    let again = plane.put(MESH, open()).await;
    assert_eq!(again.header(FINDINGS), None, "the finding existed before");
    let (_, metrics) = plane.endpoint("/metrics").await;
    let line = r#"meshwarden_admission_findings_total{outcome="warned",severity="high"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

/// A node for an external host has no proxy, so a client policy with TLS conflicts with nothing.
#[tokio::test]
async fn tls_call_to_an_external_host_is_admitted() {
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
async fn a_refused_write_is_not_stored_and_has_a_reason() {
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
async fn a_mesh_can_be_built_up_step_by_step() {
    let plane = plane(AdmissionMode::Deny, Severity::High, None).await;
    for sample in
        samples().into_iter().filter(|sample| sample.kind != "gatewayRoute" && sample.kind != "virtualGateway")
    {
        plane.put(sample.collection, sample.body()).await.ok();
    }
    let mut caller = crate::fixture::node("front.shop.local");
    caller["backends"] = json!([{"virtualService": {"virtualServiceName": "created-later.shop.local"}}]);
    let body = json!({"virtualNodeName": "front", "spec": caller});
    let reply = plane.put("/meshes/shop/virtualNodes", body).await;
    assert!(reply.header(FINDINGS).is_some(), "the finding is reported");
}

/// A write that would break a working call is refused or reported, although the damage is at the caller.
#[tokio::test]
async fn write_that_cuts_traffic_elsewhere_is_refused_or_reported() {
    let cut = |plane: Plane| async move {
        for sample in samples() {
            plane.put(sample.collection, sample.body()).await.ok();
        }
        let mut caller = crate::fixture::node("front.shop.local");
        caller["backends"] = json!([{"virtualService": {"virtualServiceName": "a b/orders.local"}}]);
        plane.put("/meshes/shop/virtualNodes", json!({"virtualNodeName": "front", "spec": caller})).await.ok();
        // The callers of the service still use port 8080.
        plane.put("/meshes/shop/virtualRouters/orders", json!({"spec": router(8081)})).await
    };
    let policy = File::new("cut", &only("service-without-provider", "info"));
    let message =
        cut(plane(AdmissionMode::Deny, Severity::Critical, Some(&policy)).await).await.error("BadRequestException");
    for part in ["mesh/shop/virtualNode/front", "a b/orders.local", "8080", "8081", "waiver"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let reply = cut(plane(AdmissionMode::Warn, Severity::Critical, Some(&policy)).await).await;
    assert!(reply.header(FINDINGS).is_some_and(|findings| findings.starts_with("1; ")), "{reply:?}");
    reply.ok();
    let reply = cut(Plane::start().await).await;
    assert_eq!(reply.header(FINDINGS), None);
    reply.ok();
}

#[tokio::test]
async fn tags_are_judged_together_with_the_write_that_sets_them() {
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
async fn a_waiver_admits_a_write_until_it_is_removed() {
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
async fn a_policy_that_becomes_invalid_leaves_the_last_valid_one_in_use() {
    let good = only("mesh-egress-open", "high");
    let file = File::new("broken", &good);
    let plane = plane(AdmissionMode::Deny, Severity::High, Some(&file)).await;
    mesh(&plane).await;
    for broken in ["version: 1\ntls: {require: perhaps}\n", ""] {
        file.write(broken);
        plane.put(MESH, open()).await.error("BadRequestException");
        let (status, text) = plane.endpoint("/readyz").await;
        assert!(status == 200 && text.contains("policy"), "{status} {text}");
    }
    file.write(&only("node-unused", "high"));
    plane.put(MESH, open()).await.ok();
    assert_eq!(plane.endpoint("/readyz").await, (200, r#"{"status":"ok"}"#.to_owned()));
}

#[test]
fn an_invalid_policy_at_the_start_is_reported_with_its_position() {
    let file = File::new("start", "version: 1\nmodes:\n  default: forced\n");
    let path = file.path().to_str().unwrap();
    let ended = process::command(&["--admission", "warn", "--policy", path]).output().unwrap();
    let text = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("line 3") && text.contains("column") && text.contains("modes.default"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writes_are_judged_one_after_the_other() {
    const PAIRS: usize = 40;
    // The finding is on the lower-case name: that write is refused if it is second. If it is first, the other one
    // reports the finding.
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
        let reports_finding = large.header(FINDINGS).is_some();
        large.ok();
        if reports_finding {
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
