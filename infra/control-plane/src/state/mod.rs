//! The state behind the API: the resources, and the effect of requests on them. Pure: the same writes with the same
//! stamps lead to the same state.

mod apply;
mod client_token;
mod collection;
mod fit;
mod pages;
mod read;
mod realm;
mod record;
mod remembered;
mod request;
mod resource;
mod revocation;
mod revocations;
mod signature;
mod signatures;
mod spec;
mod tokens;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use mesh::name::{ResourceKind, ResourcePath};

pub use client_token::ClientToken;
pub use collection::Collection;
pub use pages::{MAX_LIMIT, Page};
pub use read::tags_title;
pub use realm::{Realm, Region, RegionError};
pub use record::Record;
pub use remembered::Remembered;
pub use request::{Action, Answer, Change, Operation, Read, Write};
pub use resource::{Resource, Stamp, Status};
pub use revocation::{Revocation, RevokedSubject};
pub(crate) use revocations::Revocations;
pub use signature::{KnownSignature, SignatureHash, WriteSignature};
pub use spec::ValidSpec;
pub(crate) use write::PlannedChange;
pub use write::WriteOutcome;

use crate::error::ApiError;
use crate::quotas::Quotas;
use signatures::Signatures;
use tokens::Tokens;

/// Every resource of the account, the remembered answers to repeated requests, and the assigned listener ports.
///
/// A clone shares the collections, and copies each one that is changed afterwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    quotas: Quotas,
    /// Collections without resources are not in the map.
    collections: BTreeMap<Collection, Arc<BTreeMap<String, Arc<Resource>>>>,
    tokens: Arc<Tokens>,
    /// The signatures of accepted writes; only replicas of a shared store record them.
    signatures: Arc<Signatures>,
    revocations: Arc<Revocations>,
    /// Not part of the API: the ports of Envoy listeners on one machine, stored so that they survive a restart.
    ports: Arc<BTreeMap<String, u16>>,
}

impl State {
    /// An empty state with these quotas.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self { quotas, ..Self::default() }
    }

    /// A resource, if it exists.
    #[must_use]
    pub fn find(&self, path: &ResourcePath) -> Option<&Arc<Resource>> {
        self.collections.get(&Collection::containing(path))?.get(path.name())
    }

    /// Every resource.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.collections.values().flat_map(|members| members.values())
    }

    /// The number of resources of each kind.
    pub fn counts(&self) -> impl Iterator<Item = (ResourceKind, usize)> {
        let count = |kind| {
            let members = self.collections.iter().filter(move |(collection, _)| collection.kind() == kind);
            members.map(|(_, members)| members.len()).sum()
        };
        ResourceKind::ALL.into_iter().map(move |kind| (kind, count(kind)))
    }

    /// The assigned listener ports by their use.
    #[must_use]
    pub fn ports(&self) -> &BTreeMap<String, u16> {
        &self.ports
    }

    /// Passes unless the signed write was accepted before.
    pub(crate) fn accepts(&self, signature: &WriteSignature, now: Timestamp) -> Result<(), ApiError> {
        Ok(self.signatures.accept(signature, now)?)
    }

    /// The records that remember a signed write.
    pub(crate) fn remembering_signature(&self, signature: &WriteSignature, now: Timestamp) -> Vec<Record> {
        self.signatures.remembering(signature, now)
    }

    /// The revocations of node tokens. A change replaces the pointer.
    pub(crate) const fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The records that remember a revocation; `None` if too many are in force.
    pub(crate) fn remembering_revocation(&self, revocation: &Revocation) -> Option<Vec<Record>> {
        self.revocations.remembering(revocation)
    }

    fn existing(&self, path: &ResourcePath) -> Result<&Arc<Resource>, ApiError> {
        self.find(path).ok_or_else(|| ApiError::NotFound { path: path.clone() })
    }
}
