//! The faults of a resource's tags, and their repairs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::inherit::{Inheritance, Inherited, InheritedTag};
use super::register::Register;
use mesh::change::Change;
use mesh::graph::{Links, Mesh};
use mesh::name::ResourcePath;
use mesh::resource::Tags;
use policy::{RequiredTag, TagPolicy};

/// A fault of a resource's tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum TagFault {
    /// The resource has no tags, except reserved tags of AWS.
    Untagged,
    /// The resource lacks a required tag.
    Missing {
        /// The tag.
        key: String,
        /// The value that it would inherit.
        inherited: Inherited,
    },
    /// The resource has a required tag in different letter case.
    OtherCase {
        /// The tag.
        key: String,
        /// The key as written.
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
        /// The corrected value: the only allowed value that differs by case alone.
        meant: Option<String>,
    },
    /// A tag has a different value than all parents. This is informational.
    Differs {
        /// The tag.
        key: String,
        /// Its value.
        value: String,
        /// The value of the parents.
        above: String,
        /// A parent with that value.
        from: ResourcePath,
    },
}

impl TagFault {
    /// The key and value that repair the fault, if the repair is safe.
    #[must_use]
    pub fn repair(&self) -> Option<(&str, &str)> {
        match self {
            Self::Missing { key, inherited: Inherited::Value { value, .. } } | Self::OtherCase { key, value, .. } => {
                Some((key, value))
            }
            Self::Value { key, meant: Some(meant), .. } => Some((key, meant)),
            // A value without a parent is unknown, and a different value was set on purpose.
            Self::Missing { .. } | Self::Value { meant: None, .. } | Self::Untagged | Self::Differs { .. } => None,
        }
    }
}

/// The compliance of a resource's tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagStatus {
    /// Its tags were not read.
    Unknown,
    /// Its tags have no fault.
    Compliant,
    /// Its tags have faults.
    Faulty,
}

/// The faults of all resources' tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagReport {
    /// The faults by resource; compliant resources are not included.
    pub faults: BTreeMap<ResourcePath, Vec<TagFault>>,
    /// The resources with unread tags.
    pub unknown: BTreeSet<ResourcePath>,
}

impl TagReport {
    /// The compliance of a resource's tags.
    #[must_use]
    pub fn status(&self, resource: &ResourcePath) -> TagStatus {
        let wrong = |fault: &TagFault| !matches!(fault, TagFault::Differs { .. });
        if self.unknown.contains(resource) {
            TagStatus::Unknown
        } else if self.faults.get(resource).is_some_and(|faults| faults.iter().any(wrong)) {
            TagStatus::Faulty
        } else {
            TagStatus::Compliant
        }
    }
}

/// Checks the tags of every resource of a mesh.
#[must_use]
pub fn judge(mesh: &Mesh, policy: &TagPolicy) -> TagReport {
    let links = Links::new(mesh);
    let register = Register::new(mesh, &links);
    let path = |place: usize| register.get(place).map(|entry| entry.path.clone());
    let unknown = register.iter().filter(|(_, entry)| entry.tags.is_none());
    let faults = faults(&register, &links, policy).into_iter();
    TagReport {
        unknown: unknown.map(|(_, entry)| entry.path.clone()).collect(),
        faults: faults.filter_map(|(place, faults)| Some((path(place)?, faults))).collect(),
    }
}

/// The faults of every resource with known tags, by place; compliant resources are not included.
pub(crate) fn faults(register: &Register<'_>, links: &Links<'_>, policy: &TagPolicy) -> Vec<(usize, Vec<TagFault>)> {
    let mut inheritances: Vec<_> = policy
        .required
        .iter()
        .map(|required| (required, Inheritance::new(register, links, policy, required)))
        .collect();
    let mut all = Vec::new();
    for (place, entry) in register.iter() {
        let Some(tags) = entry.tags else { continue };
        let mut faults = Vec::new();
        if tags.iter().all(|(key, _)| policy.ignores(key)) {
            faults.push(TagFault::Untagged);
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

fn fault(place: usize, tags: &Tags, required: &RequiredTag, inheritance: &mut Inheritance<'_, '_>) -> Option<TagFault> {
    let key = || required.key.clone();
    match tags.value(&required.key) {
        Some(value) if !required.allows(value) => {
            let mut alike = required.values.iter().filter(|allowed| allowed.eq_ignore_ascii_case(value));
            let meant = alike.next().filter(|_| alike.next().is_none()).cloned();
            Some(TagFault::Value { key: key(), value: value.to_owned(), meant })
        }
        Some(value) if required.inherit => match inheritance.inherited(place) {
            InheritedTag::Value { value: above, .. } if above != value => match inheritance.named(place) {
                Inherited::Value { value: above, from } => {
                    Some(TagFault::Differs { key: key(), value: value.to_owned(), above, from })
                }
                Inherited::Conflict { .. } | Inherited::Nothing | Inherited::Unknown => None,
            },
            InheritedTag::Value { .. } | InheritedTag::Conflict(_) | InheritedTag::Nothing | InheritedTag::Unknown => {
                None
            }
        },
        Some(_) => None,
        None => {
            let other = tags.iter().find(|(other, _)| other.eq_ignore_ascii_case(&required.key));
            if let Some((written, value)) = other.filter(|(_, value)| required.allows(value)) {
                Some(TagFault::OtherCase { key: key(), written: written.to_owned(), value: value.to_owned() })
            } else {
                let inherited = if required.inherit { inheritance.named(place) } else { Inherited::Nothing };
                Some(TagFault::Missing { key: key(), inherited })
            }
        }
    }
}

/// The repairs of a mesh's tags, one change per resource: values inherited without conflict, and values in the wrong
/// case. A resource that would exceed 50 tags is skipped.
#[must_use]
pub fn repairs(mesh: &Mesh, judgement: &TagReport) -> Vec<Change> {
    let changes = judgement.faults.iter().filter_map(|(path, faults)| {
        let tags: BTreeMap<String, String> =
            faults.iter().filter_map(TagFault::repair).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        (!tags.is_empty() && fits(mesh, path, &tags)).then(|| Change::SetTags { resource: path.clone(), tags })
    });
    changes.collect()
}

/// Whether a resource may have these additional tags.
pub(crate) fn fits(mesh: &Mesh, path: &ResourcePath, tags: &BTreeMap<String, String>) -> bool {
    let Some(present) = mesh.tags.get(path) else { return false };
    let added = tags.keys().filter(|key| present.value(key).is_none()).count();
    present.len() + added <= Tags::MAX
}

/// The grace period of a new resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grace {
    /// It ends at this time.
    Until(Timestamp),
    /// It is over.
    Over,
    /// The creation time is unknown, so the resource may not be changed.
    Unknown,
}

/// The grace period of a resource with this creation time.
#[must_use]
pub fn grace(created: Option<Timestamp>, policy: &TagPolicy, now: Timestamp) -> Grace {
    let Some(created) = created else { return Grace::Unknown };
    match created.checked_add(policy.grace.get()) {
        Ok(end) if now < end => Grace::Until(end),
        Ok(_) => Grace::Over,
        // The end would overflow, so the creation time is invalid.
        Err(_) => Grace::Unknown,
    }
}
