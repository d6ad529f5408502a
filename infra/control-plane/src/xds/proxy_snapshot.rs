//! The snapshot of one proxy: its part of the mesh, translated and encoded.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use xds::{
    Finding, Proxy, ProxyId, Resource, ResourceType, SecretMaterial, SecretRef, SecretRole, SecretUse, Snapshot,
    Surroundings, Translation, translate,
};

use super::endpoints::{EndpointState, find_instances};
use super::withhold::{Resources, separate};
use crate::instances::{CloudMapService, InstanceBook, Instances};
use crate::secrets::{SecretLookup, SecretProblem, Secrets, ServedCertificate, problem};

/// The snapshot of a proxy, and its findings.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ProxySnapshot {
    /// The resources to send.
    pub(super) snapshot: Snapshot,
    /// The same with withheld resources, and without unknown endpoints; `None` if both are equal.
    pub(super) whole: Option<Snapshot>,
    /// The problems, including the reasons for withheld resources.
    pub(super) findings: Vec<Finding>,
    /// The secrets that the resources name.
    pub(super) secrets: BTreeMap<SecretRef, SecretState>,
    /// The secrets of each resource, from any source.
    pub(super) uses: SecretUses,
    /// The Cloud Map services with instances that are its endpoints.
    pub(super) services: BTreeSet<CloudMapService>,
}

/// The secrets of each listener and cluster.
pub(super) type SecretUses = BTreeMap<(ResourceType, String), BTreeSet<SecretUse>>;

/// The state of a secret that a proxy needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SecretState {
    /// In files on the proxy's machine.
    OnProxyMachine,
    /// Not available: resources that need it are withheld.
    Missing(SecretProblem),
    /// Available; a problem means that it could not be renewed, or has expired.
    Known(Vec<ServedCertificate>, Option<SecretProblem>),
}

impl SecretState {
    pub(super) const fn problem(&self) -> Option<&SecretProblem> {
        match self {
            Self::OnProxyMachine => None,
            Self::Missing(problem) => Some(problem),
            Self::Known(_, problem) => problem.as_ref(),
        }
    }
}

impl ProxySnapshot {
    /// The snapshot for a stream. A returning client may have withheld resources, or endpoints that are unknown here,
    /// from an earlier process. They must not be removed from it.
    pub(super) fn snapshot_for(&self, returning: bool) -> &Snapshot {
        self.whole.as_ref().filter(|_| returning).unwrap_or(&self.snapshot)
    }
}

/// The inputs of a proxy snapshot, in addition to the mesh.
#[derive(Debug, Clone, Copy)]
pub(super) struct BuildInputs<'a> {
    pub(super) surroundings: Surroundings<'a>,
    pub(super) secrets: &'a dyn Secrets,
    pub(super) book: &'a InstanceBook,
    pub(super) instances: &'a dyn Instances,
    /// The previous snapshot of the proxy.
    pub(super) previous: Option<&'a ProxySnapshot>,
    /// Whether to wait for pending secrets and instances instead of building without them.
    pub(super) patient: bool,
}

/// Builds a proxy's snapshot; the error means that it has to wait for secrets or instances. Returns `None` after a
/// panic of the translation, which is a defect that must not affect other proxies: this proxy keeps its
/// configuration.
pub(super) fn build_proxy_snapshot(
    mesh: &Mesh,
    proxy: &Proxy,
    inputs: BuildInputs<'_>,
) -> Option<Result<ProxySnapshot, NotReady>> {
    let id = ProxyId { mesh: mesh.name.clone(), owner: None, proxy: proxy.clone() };
    let made =
        catch_unwind(AssertUnwindSafe(|| assemble(translate(mesh, proxy, inputs.surroundings), &id.path(), inputs)));
    if made.is_err() {
        tracing::error!(mesh = %mesh.name, ?proxy, "translation panicked; the proxy keeps its configuration");
    }
    made.ok()
}

/// Secrets or instances are pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotReady;

fn assemble(translation: Translation, path: &ResourcePath, inputs: BuildInputs<'_>) -> Result<ProxySnapshot, NotReady> {
    let uses = translation.secret_uses();
    let resources: Resources =
        translation.encode().into_iter().map(|(kind, name, body)| ((kind, name), body)).collect();
    let Translation { secrets: named, mut findings, discovered, .. } = translation;
    let EndpointState { services, unknown, findings: of_instances } = find_instances(discovered, inputs)?;
    findings.extend(of_instances);
    let mut known = BTreeMap::new();
    for secret in named {
        let (state, body) = look_up(&secret, &roles(&uses, &secret), inputs)?;
        known.insert(secret, (state, body));
    }
    let plan = separate(resources, uses, known, inputs);
    let snapshot_of = |resources: &Resources| {
        Snapshot::new(resources.iter().map(|((kind, name), body)| (*kind, name.clone(), body.clone())))
    };
    let whole = (!plan.withheld.is_empty() || !unknown.is_empty()).then(|| {
        let mut whole = plan.resources.clone();
        whole.extend(plan.withheld.clone());
        whole.retain(|(kind, name), _| *kind != ResourceType::Endpoint || !unknown.contains(name));
        snapshot_of(&whole)
    });
    findings.extend(plan.findings(path));
    findings.sort();
    Ok(ProxySnapshot {
        snapshot: snapshot_of(&plan.resources),
        whole,
        findings,
        secrets: plan.secrets,
        uses: plan.uses,
        services,
    })
}

fn roles(uses: &SecretUses, secret: &SecretRef) -> BTreeSet<SecretRole> {
    let name = secret.name();
    uses.values().flatten().filter(|usage| usage.name == name).map(|usage| usage.role).collect()
}

/// The state of a secret, with the resource to send: the previous one if no newer one exists.
pub(super) fn look_up(
    secret: &SecretRef,
    roles: &BTreeSet<SecretRole>,
    inputs: BuildInputs<'_>,
) -> Result<(SecretState, Option<Resource>), NotReady> {
    let missing = |problem: SecretProblem| {
        let name = secret.name();
        let previous =
            inputs.previous.and_then(|proxy_snapshot| proxy_snapshot.snapshot.find(ResourceType::Secret, &name));
        let state = inputs.previous.and_then(|proxy_snapshot| proxy_snapshot.secrets.get(secret));
        match (previous, state) {
            (Some(previous), Some(SecretState::Known(certificates, _))) => {
                (SecretState::Known(certificates.clone(), Some(problem)), Some(previous.clone()))
            }
            _ => (SecretState::Missing(problem), None),
        }
    };
    match secret {
        SecretRef::Files { .. } | SecretRef::TrustFile(_) => {
            return Ok((SecretState::OnProxyMachine, secret.resource(None)));
        }
        SecretRef::AcmCertificate(_) | SecretRef::AcmTrust(_) | SecretRef::AcmIssuer(_) | SecretRef::Bundle(_) => {}
    }
    Ok(match inputs.secrets.find(secret) {
        SecretLookup::Known(known, problem) => {
            let role = match &known.material {
                SecretMaterial::Certificate { .. } => SecretRole::Certificate,
                SecretMaterial::Trust { .. } => SecretRole::Trust,
            };
            if roles.iter().all(|needed| *needed == role) {
                let resource = secret.resource(Some(&known.material));
                (SecretState::Known(known.certificates, problem), resource)
            } else {
                missing(SecretProblem { id: problem::WRONG_ROLE, message: wrong_role(role) })
            }
        }
        SecretLookup::Pending if inputs.patient && inputs.previous.is_none() => return Err(NotReady),
        SecretLookup::Pending => missing(SecretProblem {
            id: problem::PENDING,
            message: "the first request for it is in progress".to_owned(),
        }),
        SecretLookup::Missing(problem) => missing(problem),
    })
}

fn wrong_role(role: SecretRole) -> String {
    let (has, needs, part) = match role {
        SecretRole::Certificate => ("a certificate", "trust anchors", "trust"),
        SecretRole::Trust => ("trust anchors", "a certificate with its key", "certificate"),
    };
    format!(
        "it contains {has}, but {needs} are needed; bind the name to the other part of a bundle (SECRET_ARN#{part})"
    )
}

/// The state of a proxy for its streams.
#[derive(Debug, Clone, Default)]
pub(super) enum Served {
    /// Not built yet.
    #[default]
    Unknown,
    /// Waits for pending secrets or instances.
    Waiting,
    /// The resource does not exist.
    Missing(ResourcePath),
    /// The snapshot of the proxy.
    Ready(Arc<ProxySnapshot>),
}

impl Served {
    pub(super) const fn proxy_snapshot(&self) -> Option<&Arc<ProxySnapshot>> {
        match self {
            Self::Ready(proxy_snapshot) => Some(proxy_snapshot),
            Self::Unknown | Self::Waiting | Self::Missing(_) => None,
        }
    }
}
