//! The state of a stream, also looked at by reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use xds::ads::FormerClusters;
use xds::{ResourceType, Version};

use super::picture::{Picture, SecretState};
use super::protocol::Protocol;
use super::roster::Acknowledged;
use crate::secrets::ServedCertificate;

/// The versions of one secret that are remembered: what is acknowledged, and what may be on its way.
const REMEMBERED: usize = 8;

/// What a stream has sent and heard.
#[derive(Debug)]
pub(super) struct Machine<P> {
    state: Mutex<P>,
    /// Which certificates are in which version of a secret, the latest last.
    certificates: Mutex<BTreeMap<String, Vec<Contents>>>,
    /// Whether the client had a configuration before.
    pub(super) returning: bool,
}

type Contents = (Version, Vec<ServedCertificate>);

impl<P: Protocol> Machine<P> {
    pub(super) fn begin(returning: bool, former: Vec<FormerClusters>) -> Self {
        Self { state: Mutex::new(P::begin(former)), certificates: Mutex::default(), returning }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, P> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the certificates of a picture that is about to be sent.
    pub(super) fn note(&self, picture: &Picture) {
        if picture.secrets.is_empty() {
            return;
        }
        let acknowledged =
            self.lock().status().types.get(&ResourceType::Secret).map(|secrets| secrets.resources.clone());
        let mut remembered = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let is_acknowledged = |name: &String| acknowledged.as_ref().is_some_and(|has| has.contains_key(name));
        let named: BTreeSet<String> = picture.secrets.keys().map(xds::SecretRef::name).collect();
        remembered.retain(|name, _| named.contains(name) || is_acknowledged(name));
        for (secret, state) in &picture.secrets {
            let name = secret.name();
            let version = picture.snapshot.find(ResourceType::Secret, &name).map(xds::Resource::version);
            let (SecretState::Known(certificates, _), Some(version)) = (state, version) else { continue };
            let has = acknowledged.as_ref().and_then(|resources| resources.get(&name));
            let versions = remembered.entry(name).or_default();
            versions.retain(|(former, _)| former != version);
            versions.push((version.clone(), certificates.clone()));
            if versions.len() > REMEMBERED
                && let Some(oldest) = versions.iter().position(|(former, _)| Some(former) != has)
            {
                versions.remove(oldest);
            }
        }
    }
}

impl<P: Protocol> Acknowledged for Machine<P> {
    fn status(&self) -> xds::ads::Status {
        self.lock().status().clone()
    }

    fn has(&self, picture: &Picture) -> bool {
        self.lock().has(picture.snapshot_for(self.returning))
    }

    fn clusters(&self) -> Vec<FormerClusters> {
        self.lock().clusters()
    }

    fn certificates(&self, secret: &str, version: &Version) -> Option<Vec<ServedCertificate>> {
        let remembered = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(secret)?.iter().find(|(of, _)| of == version).map(|(_, certificates)| certificates.clone())
    }
}
