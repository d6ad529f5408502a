//! The tags of a resource.

use crate::spec::shapes::structure;
use std::collections::BTreeMap;

use thiserror::Error;

use crate::spec::bounded::{OutOfBounds, Text};

structure! {
    /// A tag in the form of the API.
    pub struct Tag {
        /// The key: 1 to 128 characters.
        "key" => key: Text<1, 128>,
        /// The value: 0 to 256 characters.
        "value" => value: Text<0, 256>,
    }
}

/// The tags of a resource: at most 50, each key once, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(BTreeMap<Text<1, 128>, Text<0, 256>>);

impl Tags {
    /// The maximum number of tags of a resource.
    pub const MAX: usize = 50;

    /// Validates tags from another source; the error names the first invalid tag.
    pub fn read(tags: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let mut read = BTreeMap::new();
        for (key, value) in tags {
            let wrong = |part: &str, error: OutOfBounds| format!("tag `{key}`: its {part} {error}");
            let tag_key = Text::new(key.as_str()).map_err(|error| wrong("key", error))?;
            let tag_value = Text::new(value).map_err(|error| wrong("value", error))?;
            read.insert(tag_key, tag_value);
        }
        if read.len() > Self::MAX {
            return Err(TooManyTags { count: read.len() }.to_string());
        }
        Ok(Self(read))
    }

    /// Adds tags; a later value of the same key replaces the earlier one. Too many tags leave the set unchanged.
    pub fn merge(&mut self, tags: impl IntoIterator<Item = Tag>) -> Result<(), TooManyTags> {
        let mut merged = self.0.clone();
        merged.extend(tags.into_iter().map(|tag| (tag.key, tag.value)));
        if merged.len() > Self::MAX {
            return Err(TooManyTags { count: merged.len() });
        }
        self.0 = merged;
        Ok(())
    }

    /// Removes tags; missing keys are ignored.
    pub fn remove<'k>(&mut self, keys: impl IntoIterator<Item = &'k str>) {
        let keys: Vec<&str> = keys.into_iter().collect();
        self.0.retain(|key, _| !keys.contains(&key.as_str()));
    }

    /// The value of a tag.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k.as_str() == key).map(|(_, value)| value.as_str())
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The number of tags.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// More than 50 tags.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid number of tags {count}: expected at most 50")]
pub struct TooManyTags {
    /// The number of tags.
    pub count: usize,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tags(range: std::ops::Range<u32>) -> Vec<Tag> {
        range.map(|n| serde_json::from_value(json!({"key": format!("k{n}"), "value": ""})).unwrap()).collect()
    }

    #[test]
    fn merging_is_all_or_nothing() {
        let mut all = Tags::default();
        all.merge(tags(0..49)).unwrap();
        assert_eq!(all.merge(tags(49..51)), Err(TooManyTags { count: 51 }));
        assert_eq!(all.len(), 49);
        all.merge(tags(40..50)).unwrap();
        assert_eq!(all.len(), 50, "keys that are there already are no further tags");
    }

    #[test]
    fn invalid_tag_is_an_error_with_its_key() {
        let read = |key: &str, value: &str| Tags::read([(key.to_owned(), value.to_owned())]);
        assert_eq!(read("team", "shop").unwrap().value("team"), Some("shop"));
        for (key, value, expected) in
            [("", "v", "tag ``: its key "), ("team", &*"v".repeat(257), "tag `team`: its value ")]
        {
            let error = read(key, value).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let many = (0..51).map(|n| (format!("k{n}"), String::new()));
        assert_eq!(Tags::read(many).unwrap_err(), TooManyTags { count: 51 }.to_string());
    }

    #[test]
    fn removing_an_absent_tag_has_no_effect() {
        let mut all = Tags::default();
        all.merge(tags(0..2)).unwrap();
        all.remove(["k1", "k7"]);
        assert_eq!(all.iter().collect::<Vec<_>>(), [("k0", "")]);
        assert_eq!((all.value("k0"), all.value("k1")), (Some(""), None));
    }
}
