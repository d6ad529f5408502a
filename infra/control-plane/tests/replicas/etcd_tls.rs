//! TLS to etcd: the members verify clients, and a replica verifies the members.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use control_plane::Quotas;
use control_plane::storage::{EtcdTls, ItemLog};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType};
use reqwest::{Client, Method};
use serde_json::json;

use crate::cluster::{ReplicaProcess, refused, until};
use crate::contract::realm;
use crate::etcd::{Etcd, EtcdFiles};
use crate::ministack::{ACCOUNT, REGION};
use crate::stores;

/// A CA.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// Writes a certificate for these addresses, and its key.
    pub(crate) fn leaf(&self, folder: &Path, name: &str, addresses: &[IpAddr]) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let files = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&files.0, certificate).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

fn command(etcd: &Etcd, more: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command
        .args(["--account", ACCOUNT, "--region", REGION, "--role", "replica", "--etcd-accept-old", "--store"])
        .arg(format!("etcd:https://{}", etcd.endpoints().join(",")))
        .args(more)
        .env_remove("MESHWARDEN_LOG")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_and_members_of_etcd_verify_each_other() {
    let Some(etcd) = Etcd::start_with_tls().await else { return };
    let files = etcd.files.as_ref().unwrap();
    let EtcdFiles { folder, ca, client, .. } = files;
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (ca, certificate, key) = (text(ca), text(&client.0), text(&client.1));
    let good = ["--etcd-ca", ca.as_str(), "--etcd-cert", certificate.as_str(), "--etcd-key", key.as_str()];
    let replicas = [ReplicaProcess::listening(command(&etcd, &good)), ReplicaProcess::listening(command(&etcd, &good))];
    let http = Client::new();
    let reply = replicas[0].send(&http, Method::PUT, "/meshes", Some(json!({"meshName": "m"}))).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = replicas[1].send(&http, Method::GET, "/meshes/m", None).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");

    let other = Authority::new();
    let other_ca = text(&other.write(folder, "other.pem"));
    let foreign = other.leaf(folder, "foreign", &[]);
    let missing = text(&folder.join("missing.pem"));
    let (foreign_certificate, foreign_key) = (text(&foreign.0), text(&foreign.1));
    for (name, options, expected) in [
        (
            "another CA",
            vec!["--etcd-ca", &other_ca, "--etcd-cert", &certificate, "--etcd-key", &key],
            "invalid peer certificate",
        ),
        ("no client certificate", vec!["--etcd-ca", ca.as_str()], "use etcd"),
        (
            "a client certificate of another CA",
            vec!["--etcd-ca", &ca, "--etcd-cert", &foreign_certificate, "--etcd-key", &foreign_key],
            "use etcd",
        ),
        ("a missing file", vec!["--etcd-ca", &missing], "missing.pem"),
    ] {
        let error = tokio::task::block_in_place(|| refused(command(&etcd, &options)));
        assert!(error.contains(expected), "{name}: {error}");
    }
    let mut plain = std::process::Command::new(env!("CARGO_BIN_EXE_control-plane"));
    plain.args(["--account", ACCOUNT, "--store", &format!("etcd:{}", etcd.endpoints().join(",")), "--etcd-ca", &ca]);
    let error = tokio::task::block_in_place(|| refused(plain));
    assert!(error.contains("without TLS"), "{error}");
}

/// A member that is killed and started again, over TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_client_certificate_is_used_without_a_restart() {
    let Some(mut etcd) = Etcd::start_with_tls().await else { return };
    let files = etcd.files.as_ref().unwrap();
    let tls = EtcdTls { ca: Some(files.ca.clone()), client: Some(files.client.clone()) };
    let (log, _) = ItemLog::open_etcd_with(etcd.endpoints(), Some(&tls), true, &realm()).await.unwrap();
    let store = stores::open(Arc::new(log), &Quotas::default()).await;
    store.write(&stores::create("mesh/m", Some("t")), &stores::stamp()).await.unwrap();
    // The members know the renewed certificate's CA; the connections begin again.
    let renewed = files.authority.leaf(&files.folder, "renewed", &[]);
    std::fs::copy(&renewed.0, &files.client.0).unwrap();
    std::fs::copy(&renewed.1, &files.client.1).unwrap();
    for member in 0..3 {
        etcd.kill(member);
        etcd.start_member(member);
        let name = format!("mesh/m/virtualNode/n{member}");
        until("no write is stored after a member was started again", async || {
            store.write(&stores::create(&name, Some("t")), &stores::stamp()).await.is_ok()
        })
        .await;
    }
}
