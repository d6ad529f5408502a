//! What is wrong with the tags of a resource, and what mends it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::inherit::{Inheritance, Inherited};
use crate::change::Change;
use crate::graph::{Links, Mesh};
use crate::name::ResourcePath;
use crate::policy::{RequiredTag, TagPolicy};
use crate::resource::Tags;

/// Something that is wrong with the tags of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// It has no tag at all, those of nobody aside.
    Untagged,
    /// It lacks a required tag.
    Missing {
        /// The tag.
        key: String,
        /// What it would take from those above it.
        inherited: Inherited,
    },
    /// It has a required tag, but for the case of the letters.
    OtherCase {
        /// The tag.
        key: String,
        /// How it is written there.
        written: String,
        /// Its value.
        value: String,
    },
    /// A required tag has a value that it may not have.
    Value {
        /// The tag.
        key: String,
        /// Its value.
        value: String,
        /// The value that is meant: the only allowed one that differs by case alone.
        meant: Option<String>,
    },
    /// A tag has another value than all that stand above it agree on. Not wrong by itself.
    Differs {
        /// The tag.
        key: String,
        /// Its value.
        value: String,
        /// Theirs.
        above: String,
        /// One that has it.
        from: ResourcePath,
    },
}

impl Fault {
    /// The tag that mends it, where that is safe: the key and the value.
    #[must_use]
    pub fn mended_by(&self) -> Option<(&str, &str)> {
        match self {
            Self::Missing { key, inherited: Inherited::Value { value, .. } } | Self::OtherCase { key, value, .. } => {
                Some((key, value))
            }
            Self::Value { key, meant: Some(meant), .. } => Some((key, meant)),
            // What nobody handed down nobody knows, and what somebody wrote is left alone.
            Self::Missing { .. } | Self::Value { meant: None, .. } | Self::Untagged | Self::Differs { .. } => None,
        }
    }
}

/// How a resource stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nobody read its tags.
    Unknown,
    /// Its tags are as they must be.
    Compliant,
    /// They are not.
    Faulty,
}

/// What is wrong with the tags of each resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// By resource; those that are as they must be are not in it.
    pub faults: BTreeMap<ResourcePath, Vec<Fault>>,
    /// The resources whose tags nobody read.
    pub unknown: BTreeSet<ResourcePath>,
}

impl Judgement {
    /// How a resource stands.
    #[must_use]
    pub fn standing(&self, resource: &ResourcePath) -> Standing {
        let wrong = |fault: &Fault| !matches!(fault, Fault::Differs { .. });
        if self.unknown.contains(resource) {
            Standing::Unknown
        } else if self.faults.get(resource).is_some_and(|faults| faults.iter().any(wrong)) {
            Standing::Faulty
        } else {
            Standing::Compliant
        }
    }
}

/// Judges the tags of every resource of a mesh.
#[must_use]
pub fn judge(mesh: &Mesh, policy: &TagPolicy) -> Judgement {
    faults(mesh, &Links::of(mesh), policy, &mesh.paths())
}

/// Judges the tags of some resources of a mesh, with links that were made before.
#[must_use]
pub fn faults(mesh: &Mesh, links: &Links<'_>, policy: &TagPolicy, resources: &[ResourcePath]) -> Judgement {
    let mut judgement = Judgement { faults: BTreeMap::new(), unknown: BTreeSet::new() };
    let mut known = Vec::with_capacity(resources.len());
    for path in resources {
        match mesh.tags.get(path) {
            Some(tags) => known.push((path, tags)),
            None => {
                judgement.unknown.insert(path.clone());
            }
        }
    }
    let mut inheritance = Inheritance::of(mesh, links, policy);
    for (path, tags) in &known {
        if tags.iter().all(|(key, _)| policy.ignores(key)) {
            judgement.faults.entry((*path).clone()).or_default().push(Fault::Untagged);
        }
    }
    for required in &policy.required {
        inheritance.forget();
        for (path, tags) in known.iter().filter(|(path, _)| required.is_for(path.kind())) {
            if let Some(fault) = fault(path, tags, required, &mut inheritance) {
                judgement.faults.entry((*path).clone()).or_default().push(fault);
            }
        }
    }
    judgement
}

fn fault(path: &ResourcePath, tags: &Tags, required: &RequiredTag, inheritance: &mut Inheritance<'_>) -> Option<Fault> {
    let key = || required.key.clone();
    let inherited = |inheritance: &mut Inheritance<'_>| {
        if required.inherit {
            inheritance.inherited(path, &required.key, &|value| required.allows(value))
        } else {
            Inherited::Nothing
        }
    };
    match tags.value(&required.key) {
        Some(value) if !required.allows(value) => {
            let mut alike = required.values.iter().filter(|allowed| allowed.eq_ignore_ascii_case(value));
            let meant = alike.next().filter(|_| alike.next().is_none()).cloned();
            Some(Fault::Value { key: key(), value: value.to_owned(), meant })
        }
        Some(value) => match inherited(inheritance) {
            Inherited::Value { value: above, from } if above != value => {
                Some(Fault::Differs { key: key(), value: value.to_owned(), above, from })
            }
            Inherited::Value { .. } | Inherited::Conflict { .. } | Inherited::Nothing => None,
        },
        None => {
            let other = tags.iter().find(|(other, _)| other.eq_ignore_ascii_case(&required.key));
            match other.filter(|(_, value)| required.allows(value)) {
                Some((written, value)) => {
                    Some(Fault::OtherCase { key: key(), written: written.to_owned(), value: value.to_owned() })
                }
                None => Some(Fault::Missing { key: key(), inherited: inherited(inheritance) }),
            }
        }
    }
}

/// What mends the tags of a mesh, a change a resource: tags that are handed down without conflict, and values whose
/// case is wrong. A resource that would get more than 50 tags is left alone.
#[must_use]
pub fn repairs(mesh: &Mesh, judgement: &Judgement) -> Vec<Change> {
    let changes = judgement.faults.iter().filter_map(|(path, faults)| {
        let tags: BTreeMap<String, String> =
            faults.iter().filter_map(Fault::mended_by).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        (!tags.is_empty() && fits(mesh, path, &tags)).then(|| Change::SetTags { resource: path.clone(), tags })
    });
    changes.collect()
}

/// Whether a resource can take further tags.
pub(crate) fn fits(mesh: &Mesh, path: &ResourcePath, tags: &BTreeMap<String, String>) -> bool {
    let Some(present) = mesh.tags.get(path) else { return false };
    let added = tags.keys().filter(|key| present.value(key).is_none()).count();
    present.len() + added <= Tags::MAX
}

/// Whether something may be done about a resource already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grace {
    /// Not before this.
    Until(Timestamp),
    /// It may.
    Over,
    /// Nobody knows when it was created, so it may not.
    Unknown,
}

/// Whether something may be done about a resource that was created then.
#[must_use]
pub fn grace(created: Option<Timestamp>, policy: &TagPolicy, now: Timestamp) -> Grace {
    let Some(created) = created else { return Grace::Unknown };
    match created.checked_add(policy.grace.get()) {
        Ok(end) if now < end => Grace::Until(end),
        Ok(_) => Grace::Over,
        // Its creation is at the end of all times, which is no creation.
        Err(_) => Grace::Unknown,
    }
}
