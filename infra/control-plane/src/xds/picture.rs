//! What one proxy is to have: its share of the mesh, translated and encoded.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use xds::{Finding, Proxy, Resource, ResourceType, SecretRef, Snapshot, Surroundings, Translation, translate};

use super::secrets::{Secrets, ServedCertificate};

/// A proxy's snapshot, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Picture {
    /// What is sent.
    pub(super) snapshot: Snapshot,
    /// What was left out, and why.
    pub(super) findings: Vec<Finding>,
    /// The secrets that it names.
    pub(super) secrets: BTreeMap<SecretRef, SecretState>,
}

/// What is known of a secret that a proxy needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SecretState {
    /// In files beside the proxy, which we don't see.
    BesideProxy,
    /// Not known yet, or not to be had: the listener or cluster that needs it waits.
    Missing,
    /// Sent.
    Known(Vec<ServedCertificate>),
}

/// Makes a proxy's picture. A translation that panics is a defect of ours and must not take the other proxies with it:
/// `None`, and the proxy keeps what it has.
pub(super) fn picture(
    mesh: &Mesh,
    proxy: &Proxy,
    surroundings: Surroundings<'_>,
    secrets: &dyn Secrets,
) -> Option<Picture> {
    let made = catch_unwind(AssertUnwindSafe(|| draw(translate(mesh, proxy, surroundings), secrets)));
    if made.is_err() {
        tracing::error!(mesh = %mesh.name, ?proxy, "the translation panicked; the proxy keeps what it has");
    }
    made.ok()
}

fn draw(translation: Translation, secrets: &dyn Secrets) -> Picture {
    let Translation { listeners, routes, clusters, endpoints, secrets: named, findings } = translation;
    let states: Vec<_> = named.into_iter().map(|secret| state(secret, secrets)).collect();
    let resources = states
        .iter()
        .filter_map(|(secret, _, resource)| Some((ResourceType::Secret, secret.name(), resource.clone()?)))
        .chain(clusters.iter().map(|(name, body)| (ResourceType::Cluster, name.clone(), Resource::encode(body))))
        .chain(endpoints.iter().map(|(name, body)| (ResourceType::Endpoint, name.clone(), Resource::encode(body))))
        .chain(listeners.iter().map(|(name, body)| (ResourceType::Listener, name.clone(), Resource::encode(body))))
        .chain(routes.iter().map(|(name, body)| (ResourceType::Route, name.clone(), Resource::encode(body))));
    let snapshot = Snapshot::new(resources);
    Picture { snapshot, findings, secrets: states.into_iter().map(|(secret, state, _)| (secret, state)).collect() }
}

fn state(secret: SecretRef, secrets: &dyn Secrets) -> (SecretRef, SecretState, Option<Resource>) {
    match &secret {
        SecretRef::Files { .. } | SecretRef::TrustFile(_) => {
            let resource = secret.resource(None);
            (secret, SecretState::BesideProxy, resource)
        }
        SecretRef::AcmCertificate(_) | SecretRef::AcmTrust(_) | SecretRef::AcmIssuer(_) | SecretRef::Bundle(_) => {
            match secrets.find(&secret) {
                Some(known) => {
                    let resource = secret.resource(Some(&known.material));
                    (secret, SecretState::Known(known.certificates), resource)
                }
                None => (secret, SecretState::Missing, None),
            }
        }
    }
}

/// What a stream is told of its proxy.
#[derive(Debug, Clone, Default)]
pub(super) enum Served {
    /// Nothing yet.
    #[default]
    Unknown,
    /// Its resource does not exist.
    Missing(ResourcePath),
    /// This.
    Ready(Arc<Picture>),
}

impl Served {
    pub(super) const fn picture(&self) -> Option<&Arc<Picture>> {
        match self {
            Self::Ready(picture) => Some(picture),
            Self::Unknown | Self::Missing(_) => None,
        }
    }
}
