//! Which certificates a proxy has taken: what rotations wait for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use xds::ads::Status;
use xds::{Resource, ResourceType, SecretFrom, SecretRef, SecretRole};

use super::picture::{Picture, SecretState};
use super::roster::Entry;
use crate::certificates::CertificateFiles;
use crate::secrets::{SecretProblem, ServedCertificate};

/// All secrets that the proxy is to have, by name: what is in them, and what of them it has acknowledged.
pub(super) fn certificates(
    picture: &Picture,
    status: &Status,
    entry: &Entry,
    files: Option<&CertificateFiles>,
) -> Value {
    let sent = picture.secrets.iter().map(|(secret, state)| {
        let name = secret.name();
        let mut told = told(picture, status, &name, state);
        let has = taken(status, &name).and_then(|version| entry.acknowledged.certificates(&name, version));
        told.insert("has".to_owned(), has.as_deref().map_or(Value::Null, served));
        if *state == SecretState::BesideProxy {
            let seen = file_of(secret).zip(files).and_then(|(path, files)| files.certificates(path));
            told.insert("inFile".to_owned(), seen.as_deref().map_or_else(|| "unknown".into(), served));
        }
        told.insert("usedBy".to_owned(), used_by(picture, &name, SecretFrom::Ads));
        (name, Value::Object(told))
    });
    let mut all: Map<String, Value> = sent.collect();
    for name in from_socket(picture) {
        let value = json!({
            "source": "besideProxy", "acknowledged": false, "has": null,
            "usedBy": used_by(picture, name, SecretFrom::Socket),
        });
        all.entry(name.clone()).or_insert(value);
    }
    Value::Object(all)
}

fn told(picture: &Picture, status: &Status, name: &str, state: &SecretState) -> Map<String, Value> {
    let is_to_have = picture.snapshot.find(ResourceType::Secret, name).map(Resource::version);
    let acknowledged = is_to_have.is_some() && taken(status, name) == is_to_have;
    let source = match state {
        SecretState::BesideProxy => "besideProxy",
        SecretState::Missing(_) => "missing",
        SecretState::Known(..) => "sent",
    };
    let mut told =
        Map::from_iter([("source".to_owned(), source.into()), ("acknowledged".to_owned(), acknowledged.into())]);
    if let SecretState::Known(certificates, _) = state {
        told.insert("certificates".to_owned(), served(certificates));
    }
    if let Some(SecretProblem { id, message }) = state.problem() {
        told.insert("problem".to_owned(), json!({"id": id, "message": message}));
    }
    told
}

/// The version of a secret that the proxy has acknowledged.
fn taken<'s>(status: &'s Status, name: &str) -> Option<&'s xds::Version> {
    status.types.get(&ResourceType::Secret)?.resources.get(name)
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

/// The secrets that come from the socket beside the proxy.
fn from_socket(picture: &Picture) -> BTreeSet<&String> {
    let uses = picture.uses.values().flatten();
    uses.filter(|of| of.from == SecretFrom::Socket).map(|of| &of.name).collect()
}

fn used_by(picture: &Picture, secret: &str, from: SecretFrom) -> Value {
    let mut users: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for ((kind, name), uses) in &picture.uses {
        for of in uses.iter().filter(|of| of.name == secret && of.from == from) {
            let member = if *kind == ResourceType::Listener { "listener" } else { "cluster" };
            let role = match of.role {
                SecretRole::Certificate => "certificate",
                SecretRole::Trust => "trust",
            };
            users.insert((member, name), role);
        }
    }
    users.into_iter().map(|((member, name), role)| json!({member: name, "as": role})).collect()
}
