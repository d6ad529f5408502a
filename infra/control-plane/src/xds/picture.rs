//! What one proxy is to have: its share of the mesh, translated and encoded.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use xds::{
    Finding, Proxy, ProxyId, Resource, ResourceType, SecretMaterial, SecretRef, SecretRole, SecretUse, Snapshot,
    Surroundings, Translation, translate,
};

use super::endpoints::{Finds, find_instances};
use super::hold::{Resources, hold_back};
use crate::instances::{InstanceBook, Instances, Service};
use crate::secrets::{Found, SecretProblem, Secrets, ServedCertificate, problem};

/// A proxy's snapshot, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Picture {
    /// What is sent.
    pub(super) snapshot: Snapshot,
    /// The same with what was left out for want of a secret, and without endpoints that nobody knows; `None` where it is
    /// the same.
    pub(super) whole: Option<Snapshot>,
    /// What was left out, and why.
    pub(super) findings: Vec<Finding>,
    /// The secrets that it names.
    pub(super) secrets: BTreeMap<SecretRef, SecretState>,
    /// What takes which secrets, whoever sends them.
    pub(super) uses: Uses,
    /// The Cloud Map services whose instances it has for endpoints.
    pub(super) services: BTreeSet<Service>,
}

/// The secrets of each listener and cluster.
pub(super) type Uses = BTreeMap<(ResourceType, String), BTreeSet<SecretUse>>;

/// What is known of a secret that a proxy needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SecretState {
    /// In files beside the proxy.
    BesideProxy,
    /// Not to be had: what needs it waits.
    Missing(SecretProblem),
    /// Sent; a problem with it is that it could not be renewed, or is past its validity.
    Known(Vec<ServedCertificate>, Option<SecretProblem>),
}

impl SecretState {
    pub(super) const fn problem(&self) -> Option<&SecretProblem> {
        match self {
            Self::BesideProxy => None,
            Self::Missing(problem) => Some(problem),
            Self::Known(_, problem) => problem.as_ref(),
        }
    }
}

impl Picture {
    /// What a proxy is sent. One that comes back with a configuration may have what is left out here, and endpoints where
    /// none are known here, from before this process knew of it: they would be taken from it.
    pub(super) fn snapshot_for(&self, returning: bool) -> &Snapshot {
        self.whole.as_ref().filter(|_| returning).unwrap_or(&self.snapshot)
    }
}

/// What a picture is made from, beside the mesh.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) surroundings: Surroundings<'a>,
    pub(super) secrets: &'a dyn Secrets,
    pub(super) book: &'a InstanceBook,
    pub(super) instances: &'a dyn Instances,
    /// What the proxy has been sent before.
    pub(super) previous: Option<&'a Picture>,
    /// Whether to wait for what is being asked for, rather than to do without.
    pub(super) patient: bool,
}

/// Makes a proxy's picture; the error is that it has to wait for secrets or instances. A translation that panics is a defect of ours
/// and must not take the other proxies with it: `None`, and the proxy keeps what it has.
pub(super) fn picture(mesh: &Mesh, proxy: &Proxy, means: Means<'_>) -> Option<Result<Picture, Waiting>> {
    let id = ProxyId { mesh: mesh.name.clone(), owner: None, proxy: proxy.clone() };
    let made = catch_unwind(AssertUnwindSafe(|| draw(translate(mesh, proxy, means.surroundings), &id.path(), means)));
    if made.is_err() {
        tracing::error!(mesh = %mesh.name, ?proxy, "the translation panicked; the proxy keeps what it has");
    }
    made.ok()
}

/// Secrets or instances are being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting;

fn draw(translation: Translation, path: &ResourcePath, means: Means<'_>) -> Result<Picture, Waiting> {
    let uses = translation.secret_uses();
    let resources: Resources =
        translation.encode().into_iter().map(|(kind, name, body)| ((kind, name), body)).collect();
    let Translation { secrets: named, mut findings, discovered, .. } = translation;
    let Finds { services, unknown, findings: of_instances } = find_instances(discovered, means)?;
    findings.extend(of_instances);
    let mut known = BTreeMap::new();
    for secret in named {
        let (state, body) = look_up(&secret, &roles(&uses, &secret), means)?;
        known.insert(secret, (state, body));
    }
    let held = hold_back(resources, uses, known, means);
    let snapshot_of = |resources: &Resources| {
        Snapshot::new(resources.iter().map(|((kind, name), body)| (*kind, name.clone(), body.clone())))
    };
    let whole = (!held.withheld.is_empty() || !unknown.is_empty()).then(|| {
        let mut whole = held.resources.clone();
        whole.extend(held.withheld.clone());
        whole.retain(|(kind, name), _| *kind != ResourceType::Endpoint || !unknown.contains(name));
        snapshot_of(&whole)
    });
    findings.extend(held.findings(path));
    findings.sort();
    Ok(Picture {
        snapshot: snapshot_of(&held.resources),
        whole,
        findings,
        secrets: held.secrets,
        uses: held.uses,
        services,
    })
}

fn roles(uses: &Uses, secret: &SecretRef) -> BTreeSet<SecretRole> {
    let name = secret.name();
    uses.values().flatten().filter(|of| of.name == name).map(|of| of.role).collect()
}

/// What there is of a secret, with the resource that is sent where there is one: the former one where there is no other.
pub(super) fn look_up(
    secret: &SecretRef,
    roles: &BTreeSet<SecretRole>,
    means: Means<'_>,
) -> Result<(SecretState, Option<Resource>), Waiting> {
    let missing = |problem: SecretProblem| {
        let name = secret.name();
        let former = means.previous.and_then(|picture| picture.snapshot.find(ResourceType::Secret, &name));
        let state = means.previous.and_then(|picture| picture.secrets.get(secret));
        match (former, state) {
            (Some(former), Some(SecretState::Known(certificates, _))) => {
                (SecretState::Known(certificates.clone(), Some(problem)), Some(former.clone()))
            }
            _ => (SecretState::Missing(problem), None),
        }
    };
    match secret {
        SecretRef::Files { .. } | SecretRef::TrustFile(_) => {
            return Ok((SecretState::BesideProxy, secret.resource(None)));
        }
        SecretRef::AcmCertificate(_) | SecretRef::AcmTrust(_) | SecretRef::AcmIssuer(_) | SecretRef::Bundle(_) => {}
    }
    Ok(match means.secrets.find(secret) {
        Found::Known(known, of_it) => {
            let role = match &known.material {
                SecretMaterial::Certificate { .. } => SecretRole::Certificate,
                SecretMaterial::Trust { .. } => SecretRole::Trust,
            };
            if roles.iter().all(|needed| *needed == role) {
                let resource = secret.resource(Some(&known.material));
                (SecretState::Known(known.certificates, of_it), resource)
            } else {
                missing(SecretProblem { id: problem::WRONG_ROLE, message: wrong_role(role) })
            }
        }
        Found::Pending if means.patient && means.previous.is_none() => return Err(Waiting),
        Found::Pending => missing(SecretProblem { id: problem::PENDING, message: "it is being asked for".to_owned() }),
        Found::Missing(problem) => missing(problem),
    })
}

fn wrong_role(role: SecretRole) -> String {
    let (has, needs, part) = match role {
        SecretRole::Certificate => ("a certificate", "trust", "trust"),
        SecretRole::Trust => ("trust", "a certificate with its key", "certificate"),
    };
    format!("it holds {has}, and {needs} is needed; bind the name to the other part of a bundle (SECRET_ARN#{part})")
}

/// What a stream is told of its proxy.
#[derive(Debug, Clone, Default)]
pub(super) enum Served {
    /// Nothing yet.
    #[default]
    Unknown,
    /// Nothing yet, since its secrets are being asked for.
    Waiting,
    /// Its resource does not exist.
    Missing(ResourcePath),
    /// This.
    Ready(Arc<Picture>),
}

impl Served {
    pub(super) const fn picture(&self) -> Option<&Arc<Picture>> {
        match self {
            Self::Ready(picture) => Some(picture),
            Self::Unknown | Self::Waiting | Self::Missing(_) => None,
        }
    }
}
