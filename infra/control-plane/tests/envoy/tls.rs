//! TLS between proxies, with certificates in files.

use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SerialNumber};
use serde_json::{Value, json};

use crate::application::{Application, Behaviour};
use crate::proxy::{Envoy, Kind};
use crate::specs::{client, node, with};
use crate::stage::{Stage, TIMEOUT};

const SERVICE: &str = "safe.shop.local";

/// A certificate authority of the test.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // A leaf of the same name would look self-signed.
        params.distinguished_name.push(DnType::CommonName, "the authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    pub(crate) fn write(&self, path: &Path) {
        put(path, &self.issuer.pem());
    }

    /// Issues a certificate for a name and writes it with its key, the key first.
    pub(crate) fn issue(&self, name: &str, serial: u64, folder: &Path, file: &str) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        put(&folder.join(format!("{file}.key")), &key.serialize_pem());
        put(&folder.join(format!("{file}.pem")), &certificate.pem());
    }
}

/// Replaces a file atomically.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A server and a client with certificates of one authority in files.
struct Pair {
    stage: Stage,
    authority: Authority,
    egress: String,
    ingress: String,
    server: Envoy,
    _client: Envoy,
    _application: Application,
}

fn listener_tls(stage: &Stage, mode: &str, mutual: bool) -> Value {
    let file = |name: &str| stage.scratch.file(name).to_str().unwrap().to_owned();
    let mut tls = json!({
        "mode": mode,
        "certificate": {"file": {"certificateChain": file("server.pem"), "privateKey": file("server.key")}},
    });
    if mutual {
        tls["validation"] = json!({"trust": {"file": {"certificateChain": file("ca.pem")}}});
    }
    tls
}

/// The TLS policy of a client: trust, accepted names, and whether it presents a certificate.
fn client_tls(stage: &Stage, trust: &str, names: &[&str], certificate: bool) -> Value {
    let file = |name: &str| stage.scratch.file(name).to_str().unwrap().to_owned();
    let mut tls = json!({"validation": {"trust": {"file": {"certificateChain": file(trust)}}}});
    if !names.is_empty() {
        tls["validation"]["subjectAlternativeNames"] = json!({"match": {"exact": names}});
    }
    if certificate {
        tls["certificate"] =
            json!({"file": {"certificateChain": file("client.pem"), "privateKey": file("client.key")}});
    }
    tls
}

async fn pair(server_tls: impl Fn(&Stage) -> Value, tls_of_client: impl Fn(&Stage) -> Option<Value>) -> Option<Pair> {
    let stage = Stage::set().await?;
    let authority = Authority::new();
    let folder = stage.scratch.file("");
    authority.write(&folder.join("ca.pem"));
    Authority::new().write(&folder.join("other-ca.pem"));
    authority.issue("node.shop.local", 1, &folder, "server");
    authority.issue("client.shop.local", 1, &folder, "client");
    let server = with(node("http", &[]), &["listeners", "0", "tls"], server_tls(&stage));
    stage.node("server", server).await;
    stage.service_on_node(SERVICE, "server").await;
    let mut caller = client(&[SERVICE]);
    if let Some(tls) = tls_of_client(&stage) {
        caller["backendDefaults"] = json!({"clientPolicy": {"tls": tls}});
    }
    stage.node("client", caller).await;
    let application = stage.application("server", Behaviour::Echo).await;
    let server = stage.envoy(Kind::Node, "server").await;
    let client = stage.envoy(Kind::Node, "client").await;
    let egress = stage.address(Kind::Node, "client", "egress", Some(SERVICE)).await;
    let ingress = stage.address(Kind::Node, "server", "ingress", None).await;
    Some(Pair { stage, authority, egress, ingress, server, _client: client, _application: application })
}

impl Pair {
    async fn status(&self) -> u16 {
        self.stage.client.get(format!("http://{}/", self.egress)).send().await.unwrap().status().as_u16()
    }

    /// Sends a plaintext request to the server's proxy, bypassing the client's.
    async fn plaintext(&self) -> Option<u16> {
        let response = self.stage.client.get(format!("http://{}/", self.ingress)).send().await;
        response.ok().map(|response| response.status().as_u16())
    }
}

#[tokio::test]
async fn strict_mutual_tls_accepts_only_clients_with_a_certificate() {
    let strict = |stage: &Stage| listener_tls(stage, "STRICT", true);
    let Some(pair) = pair(strict, |stage| Some(client_tls(stage, "ca.pem", &[], true))).await else { return };
    assert_eq!(pair.status().await, 200);
    assert_eq!(pair.plaintext().await, None, "plaintext was answered");
    pair.stage.assert_no_nack().await;
}

#[tokio::test]
async fn mutual_tls_refuses_a_client_without_a_certificate() {
    let strict = |stage: &Stage| listener_tls(stage, "STRICT", true);
    let Some(pair) = pair(strict, |stage| Some(client_tls(stage, "ca.pem", &[], false))).await else { return };
    assert_eq!(pair.status().await, 503);
}

#[tokio::test]
async fn permissive_mode_accepts_tls_and_plaintext() {
    let permissive = |stage: &Stage| listener_tls(stage, "PERMISSIVE", false);
    let Some(pair) = pair(permissive, |stage| Some(client_tls(stage, "ca.pem", &[], false))).await else { return };
    assert_eq!(pair.status().await, 200);
    assert_eq!(pair.plaintext().await, Some(200));
    let (_, statistics) = pair.server.get(&pair.stage, "/stats?filter=ssl.handshake").await;
    assert!(statistics.lines().any(|line| line.contains("ssl.handshake: 1")), "{statistics}");
}

#[tokio::test]
async fn a_client_without_a_policy_follows_the_server() {
    let strict = |stage: &Stage| listener_tls(stage, "STRICT", false);
    let Some(pair) = pair(strict, |_| None).await else { return };
    assert_eq!(pair.status().await, 200);
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_is_not_trusted() {
    let strict = |stage: &Stage| listener_tls(stage, "STRICT", false);
    let Some(stranger) = pair(strict, |stage| Some(client_tls(stage, "other-ca.pem", &[], false))).await else {
        return;
    };
    assert_eq!(stranger.status().await, 503);
    drop(stranger);
    let Some(misnamed) = pair(strict, |stage| Some(client_tls(stage, "ca.pem", &["other.shop.local"], false))).await
    else {
        return;
    };
    assert_eq!(misnamed.status().await, 503);
    drop(misnamed);
    let Some(named) = pair(strict, |stage| Some(client_tls(stage, "ca.pem", &["node.shop.local"], false))).await else {
        return;
    };
    assert_eq!(named.status().await, 200);
}

#[tokio::test]
async fn a_renewed_file_is_used_without_a_restart() {
    let strict = |stage: &Stage| listener_tls(stage, "STRICT", false);
    let Some(pair) = pair(strict, |stage| Some(client_tls(stage, "ca.pem", &[], false))).await else { return };
    assert_eq!(pair.status().await, 200);
    let serial = async || pair.server.get(&pair.stage, "/certs").await.1.contains("\"serial_number\": \"04d2\"");
    assert!(!serial().await);
    pair.authority.issue("node.shop.local", 0x4d2, &pair.stage.scratch.file(""), "server");
    let deadline = Instant::now() + TIMEOUT;
    while !serial().await {
        assert_eq!(pair.status().await, 200);
        assert!(Instant::now() < deadline, "the previous certificate is still served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(pair.status().await, 200);
}
