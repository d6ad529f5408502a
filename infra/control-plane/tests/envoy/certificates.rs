//! Certificates that the control plane sends: from ACM, a private CA and bundles, all in memory here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use control_plane::certificates::{SecretCache, SecretCacheSettings};
use control_plane::xds::SdsServer;
use ports::PortErrorKind;
use ports::certificates::Bundle;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::application::{Application, Behaviour};
use crate::proxy::{Envoy, Kind};
use crate::specs::{client, node, with};
use crate::stage::{Stage, TIMEOUT};
use crate::vault::{CERTIFICATE, Issuer, OTHER, ROOT, Vault, fingerprint, fingerprint_of};

const SERVICE: &str = "safe.shop.local";
pub(crate) const HOST: &str = "node.shop.local";

/// A server, and a client that calls it.
pub(crate) struct Pair {
    pub(crate) egress: String,
    server: Envoy,
    _client: Envoy,
    _application: Application,
}

pub(crate) async fn declare(stage: &Stage, server: Value, policy: Value) {
    stage.node("server", with(node("http", &[]), &["listeners", "0", "tls"], server)).await;
    stage.service_on_node(SERVICE, "server").await;
    stage
        .node("client", with(client(&[SERVICE]), &["backendDefaults"], json!({"clientPolicy": {"tls": policy}})))
        .await;
}

pub(crate) async fn start(stage: &Stage, args: &[&str]) -> Pair {
    let application = stage.application("server", Behaviour::Echo).await;
    let server = Envoy::start_with(stage, Kind::Node, "server", args).await;
    let client = Envoy::start_with(stage, Kind::Node, "client", args).await;
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    Pair { egress, server, _client: client, _application: application }
}

fn strict(certificate: Value) -> Value {
    json!({"mode": "STRICT", "certificate": certificate})
}

fn acm(arn: &str) -> Value {
    json!({"acm": {"certificateArn": arn}})
}

fn trusting(trust: Value) -> Value {
    json!({"validation": {"trust": trust}})
}

fn authority(arn: &str) -> Value {
    json!({"acm": {"certificateAuthorityArns": [arn]}})
}

impl Pair {
    pub(crate) async fn status(&self, stage: &Stage) -> u16 {
        stage.client.get(format!("http://{}/", self.egress)).send().await.unwrap().status().as_u16()
    }

    async fn until_status(&self, stage: &Stage, status: u16) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let got = self.status(stage).await;
            if got == status {
                return;
            }
            assert!(Instant::now() < deadline, "{got}, not {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits until a proxy has acknowledged these fingerprints of a secret.
async fn until_has(stage: &Stage, name: &str, secret: &str, prints: &[String]) -> Value {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let report = stage.report_of(Kind::Node, name).await;
        let entry = &report["streams"][0]["certificates"][secret];
        let has = entry["has"]
            .as_array()
            .map(|has| has.iter().map(|one| one["fingerprint"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>());
        if has.as_deref() == Some(prints) {
            return entry.clone();
        }
        assert!(Instant::now() < deadline, "{name} has {has:?} of {secret}: {report:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Requests from several clients, until it is ended.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn begin(stage: &Stage, egress: &str) -> Self {
        let (stop, answered, failed) = (Arc::default(), Arc::default(), Arc::default());
        let task = |_| {
            let (client, url) = (stage.client.clone(), format!("http://{egress}/"));
            let (stop, answered, failed): (Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>) =
                (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&failed));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let good = client.get(&url).send().await.is_ok_and(|response| response.status() == 200);
                    if good { &answered } else { &failed }.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let tasks = (0..4).map(task).collect();
        Self { stop, answered, failed, tasks }
    }

    /// Waits until this number of further requests succeeded.
    pub(crate) async fn more(&self, count: u64) {
        let (deadline, target) = (Instant::now() + TIMEOUT, self.answered.load(Ordering::SeqCst) + count);
        while self.answered.load(Ordering::SeqCst) < target {
            assert!(Instant::now() < deadline, "requests do not succeed in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The number of failed requests.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.failed.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_acm_is_replaced_under_load() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let (first, second) = (root.issue(HOST), root.issue(HOST));
    vault.put(CERTIFICATE, &first);
    vault.put_authority(ROOT, &root);
    let Some(stage) = Stage::set_here(vault.sources(&[])).await else { return };
    declare(&stage, strict(acm(CERTIFICATE)), trusting(authority(ROOT))).await;
    let pair = start(&stage, &[]).await;
    assert_eq!(pair.status(&stage).await, 200);
    let entry = until_has(&stage, "server", CERTIFICATE, &[first.fingerprint()]).await;
    assert_eq!(entry["usedBy"][0]["as"], "certificate");
    until_has(&stage, "client", &format!("trust:{ROOT}"), &[fingerprint(&root.pem())]).await;
    let load = Load::begin(&stage, &pair.egress);
    load.more(50).await;
    vault.put(CERTIFICATE, &second);
    until_has(&stage, "server", CERTIFICATE, &[second.fingerprint()]).await;
    // Open connections continue; new ones use the new certificate.
    let ingress = stage.address(Kind::Node, "server", "ingress", None).await;
    assert_eq!(presented(&ingress, &root).await, second.fingerprint());
    load.more(50).await;
    assert_eq!(load.end().await, 0);
    assert_eq!(vault.calls("export"), 2, "a key leaves ACM only when there is a new one");
    stage.assert_no_nack().await;
    assert!(!stage.report_of(Kind::Node, "server").await.to_string().contains("PRIVATE"));
}

/// The fingerprint that a server presents to a client which trusts this CA.
async fn presented(address: &str, trusted: &Issuer) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    fingerprint_of(&stream.get_ref().1.peer_certificates().unwrap()[0])
}

fn x509_serial(pem: &str) -> String {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    certificate.raw_serial_as_string().replace(':', "").trim_start_matches('0').to_owned()
}

#[tokio::test]
async fn a_client_without_a_policy_trusts_the_issuer() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    vault.put(CERTIFICATE, &root.issue(HOST));
    let Some(stage) = Stage::set_here(vault.sources(&[])).await else { return };
    stage.node("server", with(node("http", &[]), &["listeners", "0", "tls"], strict(acm(CERTIFICATE)))).await;
    stage.service_on_node(SERVICE, "server").await;
    stage.node("client", client(&[SERVICE])).await;
    let pair = start(&stage, &[]).await;
    assert_eq!(pair.status(&stage).await, 200);
    until_has(&stage, "client", &format!("issuer:{CERTIFICATE}"), &[fingerprint(&root.pem())]).await;
}

#[tokio::test]
async fn a_missing_certificate_neither_blocks_a_proxy_nor_removes_its_configuration() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    vault.put_authority(ROOT, &root);
    let Some(stage) = Stage::set_here(vault.sources(&[])).await else { return };
    declare(&stage, strict(acm(CERTIFICATE)), trusting(authority(ROOT))).await;
    let began = Instant::now();
    let pair = start(&stage, &[]).await;
    assert!(began.elapsed() < Duration::from_secs(14), "Envoy waited for a secret");
    assert_ne!(pair.status(&stage).await, 200);
    vault.put(CERTIFICATE, &root.issue(HOST));
    pair.until_status(&stage, 200).await;
    // The new certificate does not exist: the previous one stays, even after Envoy's timeout of 15 s.
    let tls = strict(acm(OTHER));
    let spec = with(node("http", &[]), &["listeners", "0", "tls"], tls);
    stage.put("/meshes/shop/virtualNodes/server", json!({"spec": spec})).await;
    let load = Load::begin(&stage, &pair.egress);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let report = stage.report_of(Kind::Node, "server").await;
        if report["streams"][0]["findings"].to_string().contains(OTHER) {
            break;
        }
        assert!(Instant::now() < deadline, "{report:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.more(50).await;
    let other = root.issue(HOST);
    vault.put(OTHER, &other);
    until_has(&stage, "server", OTHER, &[other.fingerprint()]).await;
    load.more(50).await;
    assert_eq!(load.end().await, 0);
}

#[tokio::test]
async fn a_restarted_control_plane_without_its_sources_removes_nothing() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    vault.put(CERTIFICATE, &root.issue(HOST));
    vault.put_authority(ROOT, &root);
    let Some(mut stage) = Stage::set_here(vault.sources(&[])).await else { return };
    declare(&stage, strict(acm(CERTIFICATE)), trusting(authority(ROOT))).await;
    let pair = start(&stage, &[]).await;
    assert_eq!(pair.status(&stage).await, 200);
    let load = Load::begin(&stage, &pair.egress);
    stage.stop_here().await;
    vault.fail(Some(PortErrorKind::Unavailable));
    stage.start_here(vault.sources(&[])).await;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let report = stage.report_of(Kind::Node, "server").await;
        if report["streams"][0]["certificates"][CERTIFICATE]["source"] == "missing" {
            break;
        }
        assert!(Instant::now() < deadline, "{report:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.more(100).await;
    vault.fail(None);
    let second = root.issue(HOST);
    vault.put(CERTIFICATE, &second);
    until_has(&stage, "server", CERTIFICATE, &[second.fingerprint()]).await;
    load.more(50).await;
    assert_eq!(load.end().await, 0);
}

/// Mutual TLS with secret names of the mesh.
pub(crate) fn mutual() -> (Value, Value) {
    let server = json!({
        "mode": "STRICT",
        "certificate": {"sds": {"secretName": "web"}},
        "validation": {"trust": {"sds": {"secretName": "roots"}}},
    });
    let client = json!({
        "certificate": {"sds": {"secretName": "caller"}},
        "validation": {"trust": {"sds": {"secretName": "roots"}}},
    });
    (server, client)
}

pub(crate) const BINDINGS: [&str; 3] = ["web=server", "caller=client", "roots=server#trust"];

pub(crate) fn bundles(vault: &Vault, root: &Issuer) -> String {
    let server = root.issue(HOST);
    vault.put_bundle("server", server.bundle(Some(root.pem())));
    vault.put_bundle("client", root.issue("client.shop.local").bundle(None));
    server.fingerprint()
}

#[tokio::test]
async fn bundles_are_sent_over_ads() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let first = bundles(&vault, &root);
    let Some(stage) = Stage::set_here(vault.sources(&BINDINGS)).await else { return };
    let (server, policy) = mutual();
    declare(&stage, server, policy).await;
    let pair = start(&stage, &[]).await;
    assert_eq!(pair.status(&stage).await, 200);
    until_has(&stage, "server", "web", &[first]).await;
    let load = Load::begin(&stage, &pair.egress);
    load.more(20).await;
    // Another root: first trusted alongside the previous one, then used.
    let next = Issuer::new("next");
    let both = format!("{}{}", root.pem(), next.pem());
    vault.put_bundle("server", root.issue(HOST).bundle(Some(both)));
    let prints = [fingerprint(&root.pem()), fingerprint(&next.pem())];
    for proxy in ["server", "client"] {
        until_has(&stage, proxy, "roots", &prints).await;
    }
    let renewed = next.issue(HOST);
    vault.put_bundle("server", Bundle { trust: Some(format!("{}{}", root.pem(), next.pem())), ..renewed.bundle(None) });
    vault.put_bundle("client", next.issue("client.shop.local").bundle(None));
    until_has(&stage, "server", "web", &[renewed.fingerprint()]).await;
    load.more(50).await;
    assert_eq!(load.end().await, 0);
    stage.assert_no_nack().await;
}

#[tokio::test]
async fn bundles_are_served_by_a_local_socket() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    bundles(&vault, &root);
    // The control plane itself has no bundle.
    let Some(stage) = Stage::set_here(vault.sources(&[])).await else { return };
    let (server, policy) = mutual();
    declare(&stage, server, policy).await;
    let sources = vault.sources(&BINDINGS);
    let names: BTreeSet<String> = sources.bindings.names();
    let cache_settings = SecretCacheSettings { refresh: Duration::from_millis(500), ..SecretCacheSettings::default() };
    let socket = stage.scratch.file("sds.sock");
    let cache = SecretCache::start(sources, cache_settings);
    let sds = SdsServer::bind(socket.clone(), None, names, cache).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(sds.serve(async {
        let _ = stopped.await;
    }));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let pair = start(&stage, &["--sds-socket", socket.to_str().unwrap()]).await;
    pair.until_status(&stage, 200).await;
    let renewed = root.issue(HOST);
    vault.put_bundle("server", renewed.bundle(Some(root.pem())));
    let serial = x509_serial(&renewed.chain.leaf);
    let deadline = Instant::now() + TIMEOUT;
    while !pair.server.get(&stage, "/certs").await.1.contains(&serial) {
        assert_eq!(pair.status(&stage).await, 200);
        assert!(Instant::now() < deadline, "the previous certificate is still served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let report = stage.report_of(Kind::Node, "server").await;
    assert_eq!(report["streams"][0]["certificates"]["web"]["source"], "besideProxy");
    drop(stop);
    drop(pair);
    serving.await.unwrap().unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_subordinate_ca_is_trusted_without_its_siblings() {
    let root = Issuer::new("root");
    let (trusted, sibling) = (root.subordinate("trusted"), root.subordinate("sibling"));
    for (issuer, status) in [(&trusted, 200), (&sibling, 503)] {
        let vault = Vault::new();
        let mut issued = issuer.issue(HOST);
        issued.chain.issuers.push_str(&root.pem());
        vault.put(CERTIFICATE, &issued);
        vault.put_authority_below(ROOT, &trusted, root.pem());
        let Some(stage) = Stage::set_here(vault.sources(&[])).await else { return };
        declare(&stage, strict(acm(CERTIFICATE)), trusting(authority(ROOT))).await;
        let pair = start(&stage, &[]).await;
        assert_eq!(pair.status(&stage).await, status);
    }
}
