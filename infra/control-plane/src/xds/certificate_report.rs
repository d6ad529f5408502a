//! The certificates that a proxy has acknowledged, which rotations wait for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use xds::ads::Status;
use xds::{Resource, ResourceType, SecretFrom, SecretRef, SecretRole, Version};

use super::proxy_snapshot::{ProxySnapshot, SecretState};
use super::registry::AcknowledgedState;
use crate::certificates::CertificateFiles;
use crate::secrets::{SecretProblem, ServedCertificate};

/// The secrets that a proxy has acknowledged.
pub(super) trait AcknowledgedSecrets {
    /// The acknowledged version of a secret.
    fn version(&self, name: &str) -> Option<&str>;
    /// The certificates of that version, if they are still known.
    fn certificates(&self, name: &str) -> Option<Vec<ServedCertificate>>;
}

/// The secrets that a stream of this replica has acknowledged.
pub(super) struct AcknowledgedOnStream<'s> {
    pub(super) status: &'s Status,
    pub(super) stream: &'s dyn AcknowledgedState,
}

impl AcknowledgedOnStream<'_> {
    fn acknowledged(&self, name: &str) -> Option<&Version> {
        self.status.types.get(&ResourceType::Secret)?.resources.get(name)
    }
}

impl AcknowledgedSecrets for AcknowledgedOnStream<'_> {
    fn version(&self, name: &str) -> Option<&str> {
        self.acknowledged(name).map(Version::as_str)
    }

    fn certificates(&self, name: &str) -> Option<Vec<ServedCertificate>> {
        self.stream.certificates(name, self.acknowledged(name)?)
    }
}

/// All secrets of a proxy by name, with their certificates and the acknowledged ones.
pub(super) fn certificates(
    proxy_snapshot: &ProxySnapshot,
    acknowledged: &dyn AcknowledgedSecrets,
    files: Option<&CertificateFiles>,
) -> Value {
    let sent = proxy_snapshot.secrets.iter().map(|(secret, state)| {
        let name = secret.name();
        let mut report = secret_report(proxy_snapshot, acknowledged, &name, state);
        let has = acknowledged.certificates(&name);
        report.insert("has".to_owned(), has.as_deref().map_or(Value::Null, served));
        if *state == SecretState::OnProxyMachine {
            let seen = file_of(secret).zip(files).and_then(|(path, files)| files.certificates(path));
            report.insert("inFile".to_owned(), seen.as_deref().map_or_else(|| "unknown".into(), served));
        }
        report.insert("usedBy".to_owned(), used_by(proxy_snapshot, &name, SecretFrom::Ads));
        (name, Value::Object(report))
    });
    let mut all: Map<String, Value> = sent.collect();
    for name in from_socket(proxy_snapshot) {
        let value = json!({
            "source": "besideProxy", "acknowledged": false, "has": null,
            "usedBy": used_by(proxy_snapshot, name, SecretFrom::Socket),
        });
        all.entry(name.clone()).or_insert(value);
    }
    Value::Object(all)
}

fn secret_report(
    proxy_snapshot: &ProxySnapshot,
    acknowledged: &dyn AcknowledgedSecrets,
    name: &str,
    state: &SecretState,
) -> Map<String, Value> {
    let current = proxy_snapshot.snapshot.find(ResourceType::Secret, name).map(Resource::version);
    let is_acknowledged = current.is_some_and(|current| acknowledged.version(name) == Some(current.as_str()));
    let source = match state {
        SecretState::OnProxyMachine => "besideProxy",
        SecretState::Missing(_) => "missing",
        SecretState::Known(..) => "sent",
    };
    let mut report =
        Map::from_iter([("source".to_owned(), source.into()), ("acknowledged".to_owned(), is_acknowledged.into())]);
    if let SecretState::Known(certificates, _) = state {
        report.insert("certificates".to_owned(), served(certificates));
    }
    if let Some(SecretProblem { id, message }) = state.problem() {
        report.insert("problem".to_owned(), json!({"id": id, "message": message}));
    }
    report
}

pub(super) fn served(certificates: &[ServedCertificate]) -> Value {
    let one = |certificate: &ServedCertificate| json!({"fingerprint": certificate.fingerprint, "notAfter": certificate.not_after.to_string()});
    certificates.iter().map(one).collect()
}

fn file_of(secret: &SecretRef) -> Option<&str> {
    match secret {
        SecretRef::Files { certificate_chain, .. } => Some(certificate_chain),
        SecretRef::TrustFile(path) => Some(path),
        SecretRef::AcmCertificate(_) | SecretRef::AcmTrust(_) | SecretRef::AcmIssuer(_) | SecretRef::Bundle(_) => None,
    }
}

/// The secrets that the proxy gets from its local socket.
fn from_socket(proxy_snapshot: &ProxySnapshot) -> BTreeSet<&String> {
    let uses = proxy_snapshot.uses.values().flatten();
    uses.filter(|usage| usage.from == SecretFrom::Socket).map(|usage| &usage.name).collect()
}

fn used_by(proxy_snapshot: &ProxySnapshot, secret: &str, from: SecretFrom) -> Value {
    let mut users: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for ((kind, name), uses) in &proxy_snapshot.uses {
        for usage in uses.iter().filter(|usage| usage.name == secret && usage.from == from) {
            let member = if *kind == ResourceType::Listener { "listener" } else { "cluster" };
            let role = match usage.role {
                SecretRole::Certificate => "certificate",
                SecretRole::Trust => "trust",
            };
            users.insert((member, name), role);
        }
    }
    users.into_iter().map(|((member, name), role)| json!({member: name, "as": role})).collect()
}
