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
mod spec;
mod tokens;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

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
pub use spec::ValidSpec;
pub(crate) use write::PlannedChange;
pub use write::WriteOutcome;

use crate::error::ApiError;
use crate::quotas::Quotas;
use tokens::Tokens;

/// Every resource of the account, the remembered answers to repeated requests, and the assigned listener ports.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    quotas: Quotas,
    /// Collections without resources are not in the map.
    collections: BTreeMap<Collection, BTreeMap<String, Arc<Resource>>>,
    tokens: Tokens,
    /// Not part of the API: the ports of Envoy listeners on one machine, stored so that they survive a restart.
    ports: BTreeMap<String, u16>,
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
        self.collections.values().flat_map(BTreeMap::values)
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
    pub const fn ports(&self) -> &BTreeMap<String, u16> {
        &self.ports
    }

    fn existing(&self, path: &ResourcePath) -> Result<&Arc<Resource>, ApiError> {
        self.find(path).ok_or_else(|| ApiError::NotFound { path: path.clone() })
    }
}
