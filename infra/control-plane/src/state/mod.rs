//! The state behind the API: what exists, and what a request makes of it. Pure: the same writes with the same stamps
//! lead to the same state.

mod collection;
mod fit;
mod pages;
mod read;
mod realm;
mod request;
mod resource;
mod spec;
mod tokens;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::name::ResourcePath;

pub use collection::Collection;
pub use pages::{MAX_LIMIT, Page, PageError};
pub use read::tags_title;
pub use realm::{Realm, Region, RegionError};
pub use request::{Action, Answer, Change, Operation, Read, Write};
pub use resource::{Resource, Stamp, Status};
pub use spec::ValidSpec;
pub use tokens::{ClientToken, TokenError};
pub use write::Written;

use crate::error::ApiError;
use crate::quotas::Quotas;
use tokens::Tokens;

/// Every resource of the account, and the answers that a repeated request would get again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    quotas: Quotas,
    /// Only collections that hold something are in here.
    collections: BTreeMap<Collection, BTreeMap<String, Arc<Resource>>>,
    tokens: Tokens,
}

impl State {
    /// Nothing yet, under these quotas.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self { quotas, ..Self::default() }
    }

    /// A resource, if it exists.
    #[must_use]
    pub fn find(&self, path: &ResourcePath) -> Option<&Arc<Resource>> {
        self.collections.get(&Collection::of(path))?.get(path.name())
    }

    /// Every resource.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.collections.values().flat_map(BTreeMap::values)
    }

    fn existing(&self, path: &ResourcePath) -> Result<&Arc<Resource>, ApiError> {
        self.find(path).ok_or_else(|| ApiError::NotFound { path: path.clone() })
    }
}
