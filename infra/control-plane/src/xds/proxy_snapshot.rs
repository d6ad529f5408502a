//! The snapshot of one proxy: its part of the mesh, translated and encoded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh::name::ResourcePath;
use xds::{Finding, ResourceType, SecretRef, SecretUse, Snapshot};

use crate::instances::CloudMapService;
use crate::secrets::{SecretProblem, ServedCertificate};

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
