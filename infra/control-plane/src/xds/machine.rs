//! The state of a stream, shared with reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use xds::ads::FormerResources;
use xds::{ResourceType, Version};

use super::protocol::Protocol;
use super::proxy_snapshot::{ProxySnapshot, SecretState};
use super::registry::AcknowledgedState;
use crate::secrets::ServedCertificate;

/// How many versions of one secret are remembered: the acknowledged one, and versions that may be in transit.
const REMEMBERED: usize = 8;

/// The protocol state of a stream, and the certificates that it has sent.
#[derive(Debug)]
pub(super) struct Machine<P> {
    state: Mutex<P>,
    /// The certificates in each version of a secret, latest last.
    certificates: Mutex<BTreeMap<String, Vec<Contents>>>,
    /// Whether the client had a configuration before.
    pub(super) returning: bool,
}

type Contents = (Version, Vec<ServedCertificate>);

impl<P: Protocol> Machine<P> {
    pub(super) fn begin(returning: bool, previous: Vec<FormerResources>) -> Self {
        Self { state: Mutex::new(P::begin(previous)), certificates: Mutex::default(), returning }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, P> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the certificates of a snapshot that is about to be sent.
    pub(super) fn note(&self, proxy_snapshot: &ProxySnapshot) {
        if proxy_snapshot.secrets.is_empty() {
            return;
        }
        let acknowledged =
            self.lock().status().types.get(&ResourceType::Secret).map(|secrets| secrets.resources.clone());
        let mut remembered = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let is_acknowledged = |name: &String| acknowledged.as_ref().is_some_and(|has| has.contains_key(name));
        let named: BTreeSet<String> = proxy_snapshot.secrets.keys().map(xds::SecretRef::name).collect();
        remembered.retain(|name, _| named.contains(name) || is_acknowledged(name));
        for (secret, state) in &proxy_snapshot.secrets {
            let name = secret.name();
            let version = proxy_snapshot.snapshot.find(ResourceType::Secret, &name).map(xds::Resource::version);
            let (SecretState::Known(certificates, _), Some(version)) = (state, version) else { continue };
            let has = acknowledged.as_ref().and_then(|resources| resources.get(&name));
            let versions = remembered.entry(name).or_default();
            versions.retain(|(other, _)| other != version);
            versions.push((version.clone(), certificates.clone()));
            if versions.len() > REMEMBERED
                && let Some(oldest) = versions.iter().position(|(version, _)| Some(version) != has)
            {
                versions.remove(oldest);
            }
        }
    }
}

impl<P: Protocol> AcknowledgedState for Machine<P> {
    fn status(&self) -> xds::ads::Status {
        self.lock().status().clone()
    }

    fn has(&self, proxy_snapshot: &ProxySnapshot) -> bool {
        self.lock().has(proxy_snapshot.snapshot_for(self.returning))
    }

    fn former(&self) -> Vec<FormerResources> {
        self.lock().former()
    }

    fn certificates(&self, secret: &str, version: &Version) -> Option<Vec<ServedCertificate>> {
        let remembered = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(secret)?.iter().find(|(sent, _)| sent == version).map(|(_, certificates)| certificates.clone())
    }
}
