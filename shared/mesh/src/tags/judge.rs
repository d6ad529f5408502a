//! What is wrong with the tags of a resource, and what mends it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::inherit::{Inheritance, Inherited, Taken};
use super::register::Register;
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
    /// A required tag has a value that is not allowed.
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
    let links = Links::of(mesh);
    let register = Register::of(mesh, &links);
    let path = |place: usize| register.get(place).map(|entry| entry.path.clone());
    let unknown = register.iter().filter(|(_, entry)| entry.tags.is_none());
    let faults = faults(&register, &links, policy).into_iter();
    Judgement {
        unknown: unknown.map(|(_, entry)| entry.path.clone()).collect(),
        faults: faults.filter_map(|(place, faults)| Some((path(place)?, faults))).collect(),
    }
}

/// What is wrong with the tags of each resource whose tags are known, by place; those that are as they must be are not
/// among them.
pub(crate) fn faults(register: &Register<'_>, links: &Links<'_>, policy: &TagPolicy) -> Vec<(usize, Vec<Fault>)> {
    let mut inheritances: Vec<_> =
        policy.required.iter().map(|required| (required, Inheritance::of(register, links, policy, required))).collect();
    let mut all = Vec::new();
    for (place, entry) in register.iter() {
        let Some(tags) = entry.tags else { continue };
        let mut faults = Vec::new();
        if tags.iter().all(|(key, _)| policy.ignores(key)) {
            faults.push(Fault::Untagged);
        }
        for (required, inheritance) in &mut inheritances {
            if required.is_for(entry.path.kind()) {
                faults.extend(fault(place, tags, required, inheritance));
            }
        }
        if !faults.is_empty() {
            all.push((place, faults));
        }
    }
    all
}

fn fault(place: usize, tags: &Tags, required: &RequiredTag, inheritance: &mut Inheritance<'_, '_>) -> Option<Fault> {
    let key = || required.key.clone();
    match tags.value(&required.key) {
        Some(value) if !required.allows(value) => {
            let mut alike = required.values.iter().filter(|allowed| allowed.eq_ignore_ascii_case(value));
            let meant = alike.next().filter(|_| alike.next().is_none()).cloned();
            Some(Fault::Value { key: key(), value: value.to_owned(), meant })
        }
        Some(value) if required.inherit => match inheritance.inherited(place) {
            Taken::Value { value: above, .. } if above != value => match inheritance.told(place) {
                Inherited::Value { value: above, from } => {
                    Some(Fault::Differs { key: key(), value: value.to_owned(), above, from })
                }
                Inherited::Conflict { .. } | Inherited::Nothing | Inherited::Unknown => None,
            },
            Taken::Value { .. } | Taken::Conflict(_) | Taken::Nothing | Taken::Unknown => None,
        },
        Some(_) => None,
        None => {
            let other = tags.iter().find(|(other, _)| other.eq_ignore_ascii_case(&required.key));
            if let Some((written, value)) = other.filter(|(_, value)| required.allows(value)) {
                Some(Fault::OtherCase { key: key(), written: written.to_owned(), value: value.to_owned() })
            } else {
                let inherited = if required.inherit { inheritance.told(place) } else { Inherited::Nothing };
                Some(Fault::Missing { key: key(), inherited })
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
