//! What differs between two states of a mesh, resource by resource.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::snapshot::{Seen, Snapshot};
use crate::change::{Difference, diff};
use crate::name::ResourcePath;
use crate::policy::Policy;
use crate::resource::Tags;

/// The most members that are shown of one change. A mail with more is not read.
const MOST_MEMBERS: usize = 20;

/// The most characters of a value that are shown.
const LONGEST_VALUE: usize = 160;

/// A resource that differs between two states of a mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceChange {
    /// The resource.
    pub resource: ResourcePath,
    /// What happened to it.
    pub kind: ChangeKind,
    /// How it stood; `None` where it was not there.
    pub before: Option<Stand>,
    /// How it stands; `None` where it is gone.
    pub after: Option<Stand>,
    /// The members that differ: `spec.…`, then `tags.…`.
    pub differences: Vec<Difference>,
}

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// It was deleted, and another of the same name was created.
    Replaced,
    /// Its spec differs; its tags may, too.
    Updated,
    /// Only its tags differ.
    Retagged,
    /// It was written and stands as it did: something was done and undone, or written again.
    Rewritten,
}

/// How a resource stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stand {
    /// Its version.
    pub version: u64,
    /// When its spec was last written.
    pub updated: Timestamp,
    /// When it was created.
    pub created: Timestamp,
}

/// The members that differ, as far as they can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Members {
    /// The first.
    pub members: Vec<Member>,
    /// How many more there are.
    pub more: usize,
}

/// A member that differs, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Where: `spec.listeners[0].tls.mode`.
    pub path: String,
    /// Its value before, as JSON; `None` where it was absent.
    pub before: Option<String>,
    /// Its value after; `None` where it is absent.
    pub after: Option<String>,
}

impl ChangeKind {
    /// In words: `was updated`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Created => "was created",
            Self::Deleted => "was deleted",
            Self::Replaced => "was deleted and created anew",
            Self::Updated => "was updated",
            Self::Retagged => "was tagged",
            Self::Rewritten => "was written and stands as before",
        }
    }
}

/// The resources that differ, in the order of their paths.
#[must_use]
pub fn changes(before: &Snapshot, after: &Snapshot) -> Vec<ResourceChange> {
    let paths: BTreeSet<&ResourcePath> = before.resources.keys().chain(after.resources.keys()).collect();
    paths.into_iter().filter_map(|path| change(path, before.resources.get(path), after.resources.get(path))).collect()
}

fn change(path: &ResourcePath, before: Option<&Seen>, after: Option<&Seen>) -> Option<ResourceChange> {
    let differences = differences(before, after);
    let kind = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => ChangeKind::Created,
        (Some(_), None) => ChangeKind::Deleted,
        (Some(was), Some(is)) if was.resource.metadata().uid != is.resource.metadata().uid => ChangeKind::Replaced,
        (Some(was), Some(is)) => {
            let of_spec = differences.iter().any(|difference| difference.path.starts_with("spec"));
            match (of_spec, differences.is_empty(), was.version() == is.version()) {
                // Perhaps written again with the same spec, and tagged.
                (true, _, _) | (false, false, false) => ChangeKind::Updated,
                (false, false, true) => ChangeKind::Retagged,
                (false, true, false) => ChangeKind::Rewritten,
                (false, true, true) => return None,
            }
        }
    };
    let (before, after) = (before.map(stand), after.map(stand));
    Some(ResourceChange { resource: path.clone(), kind, before, after, differences })
}

fn stand(seen: &Seen) -> Stand {
    let metadata = seen.resource.metadata();
    Stand { version: seen.version(), updated: metadata.last_updated_at.time(), created: metadata.created_at.time() }
}

fn differences(before: Option<&Seen>, after: Option<&Seen>) -> Vec<Difference> {
    let spec = |seen: Option<&Seen>| {
        seen.and_then(|seen| seen.resource.to_json().get("spec").cloned()).unwrap_or_else(|| Value::Object(Map::new()))
    };
    let mut found = diff(&spec(before), &spec(after));
    let is_unknown = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.tags.is_none());
    if is_unknown(before) || is_unknown(after) {
        // What was not known at one time cannot be said to have changed.
        return found;
    }
    let tags = |seen: Option<&Seen>| -> BTreeMap<String, String> {
        let tags = seen.and_then(|seen| seen.tags.as_ref()).into_iter().flat_map(Tags::iter);
        tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let (was, is) = (tags(before), tags(after));
    let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for key in keys {
        let (before, after) = (was.get(key), is.get(key));
        if before != after {
            let value = |tag: Option<&String>| tag.map(|tag| Value::from(tag.as_str()));
            found.push(Difference { path: format!("tags.{key}"), before: value(before), after: value(after) });
        }
    }
    found
}

impl ResourceChange {
    /// The members that differ, for people: the first of many, long values cut. A tag's value is shown only where the
    /// policy says what it may be, or where it is ours: people put into tags what should not go out by mail.
    #[must_use]
    pub fn members(&self, policy: &Policy) -> Members {
        let members = self.differences.iter().take(MOST_MEMBERS).map(|difference| {
            let shown = |value: &Option<Value>| value.as_ref().map(|value| show(&difference.path, value, policy));
            Member { path: difference.path.clone(), before: shown(&difference.before), after: shown(&difference.after) }
        });
        Members { members: members.collect(), more: self.differences.len().saturating_sub(MOST_MEMBERS) }
    }
}

fn show(path: &str, value: &Value, policy: &Policy) -> String {
    if let (Some(key), Some(text)) = (path.strip_prefix("tags."), value.as_str())
        && !is_shown(key, policy)
    {
        return format!("({} characters, not shown)", text.chars().count());
    }
    let text = value.to_string();
    let length = text.chars().count();
    if length <= LONGEST_VALUE {
        return text;
    }
    let kept: String = text.chars().take(LONGEST_VALUE).collect();
    format!("{kept}… ({length} characters)")
}

fn is_shown(key: &str, policy: &Policy) -> bool {
    key.starts_with("meshwarden:")
        || key == policy.environments.tag
        || policy.tags.required.iter().any(|required| required.key.eq_ignore_ascii_case(key))
}
