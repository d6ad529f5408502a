//! Reads of the state.

use std::ops::Bound;
use std::sync::Arc;

use mesh::name::ResourcePath;

use super::pages::token_after;
use super::{Answer, Collection, Page, Read, State};
use crate::error::ApiError;

impl State {
    /// Answers a read.
    pub fn read(&self, read: &Read) -> Result<Answer, ApiError> {
        self.read_visible(read, |_| true)
    }

    /// Answers a read. Lists have only the resources for which `visible` is true.
    pub(crate) fn read_visible(
        &self,
        read: &Read,
        visible: impl Fn(&ResourcePath) -> bool,
    ) -> Result<Answer, ApiError> {
        match read {
            Read::Describe(path) => Ok(Answer::Resource(Arc::clone(self.existing(path)?))),
            Read::List(collection, page) => self.list(collection, page, visible),
            Read::ListTags(path, page) => {
                let tags = self.existing(path)?.tags.iter();
                let rest = tags.filter(|(key, _)| page.after.as_deref().is_none_or(|after| *key > after));
                let (tags, next) = page.cut(rest, |(key, _)| key);
                Ok(Answer::Tags {
                    tags: tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                    next: next.map(|key| token_after(&key, &tags_title(path))),
                })
            }
        }
    }

    fn list(
        &self,
        collection: &Collection,
        page: &Page,
        visible: impl Fn(&ResourcePath) -> bool,
    ) -> Result<Answer, ApiError> {
        if let Some(parent) = collection.parent() {
            self.existing(&parent)?;
        }
        let start = page.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let resources = self
            .collections
            .get(collection)
            .into_iter()
            .flat_map(|members| members.range::<str, _>((start, Bound::Unbounded)))
            .filter(|(_, resource)| visible(&resource.path));
        let (resources, next) = page.cut(resources, |(name, _)| name);
        let next = next.map(|name| token_after(&name, &collection.to_string()));
        let resources = resources.into_iter().map(|(_, resource)| Arc::clone(resource)).collect();
        Ok(Answer::Resources { kind: collection.kind(), resources, next })
    }
}

/// The title of a resource's tag list, which its page tokens are bound to.
#[must_use]
pub fn tags_title(path: &ResourcePath) -> String {
    format!("tags of {path}")
}
