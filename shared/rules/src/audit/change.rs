//! The differences between two states of a mesh, by resource.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::snapshot::{ResourceSnapshot, Snapshot};
use mesh::change::{Difference, diff};
use mesh::name::ResourcePath;
use mesh::resource::Tags;
use policy::Policy;

/// The maximum number of changed members in a text; longer mails are not read.
const MOST_MEMBERS: usize = 20;

/// The maximum number of characters of a value in a text.
const LONGEST_VALUE: usize = 160;

/// A resource that differs between two states of a mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceChange {
    /// The resource.
    pub resource: ResourcePath,
    /// The kind of the change.
    pub kind: ChangeKind,
    /// The version before; `None` if the resource did not exist.
    pub before: Option<ResourceVersion>,
    /// The version after; `None` if the resource was deleted.
    pub after: Option<ResourceVersion>,
    /// The changed members: `spec.…`, then `tags.…`.
    pub differences: Vec<Difference>,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The resource was created.
    Created,
    /// The resource was deleted.
    Deleted,
    /// The resource was deleted, and another resource of the same name was created.
    Replaced,
    /// Its spec differs; its tags may differ, too.
    Updated,
    /// Only its tags differ.
    Retagged,
    /// It was written without a difference: with the same content, or changed and restored.
    Rewritten,
}

/// The version of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceVersion {
    /// Its version.
    pub version: u64,
    /// When its spec was last written.
    pub updated: Timestamp,
    /// When it was created.
    pub created: Timestamp,
}

/// The changed members, as far as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedMembers {
    /// The first changed members.
    pub members: Vec<Member>,
    /// The number of further changed members.
    pub more: usize,
}

/// A changed member, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The path of the member, for example `spec.listeners[0].tls.mode`.
    pub path: String,
    /// Its JSON value before; `None` if it was absent.
    pub before: Option<String>,
    /// Its JSON value after; `None` if it is absent.
    pub after: Option<String>,
}

impl ChangeKind {
    /// The change as a predicate, for example `was updated`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Created => "was created",
            Self::Deleted => "was deleted",
            Self::Replaced => "was deleted and recreated",
            Self::Updated => "was updated",
            Self::Retagged => "was tagged",
            Self::Rewritten => "was written without a difference",
        }
    }
}

/// The changed resources, in the order of their paths.
#[must_use]
pub fn changes(before: &Snapshot, after: &Snapshot) -> Vec<ResourceChange> {
    let paths: BTreeSet<&ResourcePath> = before.resources.keys().chain(after.resources.keys()).collect();
    paths.into_iter().filter_map(|path| change(path, before.resources.get(path), after.resources.get(path))).collect()
}

fn change(
    path: &ResourcePath,
    before: Option<&ResourceSnapshot>,
    after: Option<&ResourceSnapshot>,
) -> Option<ResourceChange> {
    let differences = differences(before, after);
    let kind = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => ChangeKind::Created,
        (Some(_), None) => ChangeKind::Deleted,
        (Some(was), Some(is)) if was.resource.metadata().uid != is.resource.metadata().uid => ChangeKind::Replaced,
        (Some(was), Some(is)) => {
            let of_spec = differences.iter().any(|difference| difference.path.starts_with("spec"));
            match (of_spec, differences.is_empty(), was.version() == is.version()) {
                // The spec differs, or the same spec was written and the tags differ.
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

fn stand(seen: &ResourceSnapshot) -> ResourceVersion {
    let metadata = seen.resource.metadata();
    ResourceVersion {
        version: seen.version(),
        updated: metadata.last_updated_at.time(),
        created: metadata.created_at.time(),
    }
}

fn differences(before: Option<&ResourceSnapshot>, after: Option<&ResourceSnapshot>) -> Vec<Difference> {
    let spec = |seen: Option<&ResourceSnapshot>| {
        seen.and_then(|seen| seen.resource.to_json().get("spec").cloned()).unwrap_or_else(|| Value::Object(Map::new()))
    };
    let mut found = diff(&spec(before), &spec(after));
    let is_unknown = |seen: Option<&ResourceSnapshot>| seen.is_some_and(|seen| seen.tags.is_none());
    if is_unknown(before) || is_unknown(after) {
        // Tags that are unknown on one side cannot count as changed.
        return found;
    }
    let tags = |seen: Option<&ResourceSnapshot>| -> BTreeMap<String, String> {
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
    /// The changed members as text: the first ones, with long values cut. The value of a tag is shown only if the
    /// policy requires the tag or it belongs to Meshwarden, because tags may hold confidential text.
    #[must_use]
    pub fn members(&self, policy: &Policy) -> ChangedMembers {
        let members = self.differences.iter().take(MOST_MEMBERS).map(|difference| {
            let shown = |value: &Option<Value>| value.as_ref().map(|value| show(&difference.path, value, policy));
            Member { path: difference.path.clone(), before: shown(&difference.before), after: shown(&difference.after) }
        });
        ChangedMembers { members: members.collect(), more: self.differences.len().saturating_sub(MOST_MEMBERS) }
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
