//! The part of the policy that is about tags.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Budget, Pattern, Period};
use crate::name::ResourceKind;

/// Which tags resources must have, and where missing ones come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TagPolicy {
    /// The tags that resources must have.
    pub required: Vec<RequiredTag>,
    /// How long after its creation a resource may lack them before anything is done about it. It is a finding from the
    /// first moment, so that it is the same wherever the mesh was read.
    pub grace: Period,
    /// Keys that begin with one of these are nobody's here: they are never required, judged or written.
    pub ignore: Vec<String>,
    /// From which kinds a kind takes the values of tags that it lacks, the first that has one. Kinds that aren't named
    /// keep their built-in sources.
    pub inheritance: BTreeMap<ResourceKind, Vec<ResourceKind>>,
    /// How many resources may be tagged.
    pub budget: Budget,
}

impl Default for TagPolicy {
    fn default() -> Self {
        Self {
            required: Vec::new(),
            // A day: whoever creates a resource by hand gets to finish it.
            grace: Period::minutes_long(24 * 60),
            ignore: vec!["aws:".to_owned(), "meshwarden:".to_owned()],
            inheritance: BTreeMap::new(),
            // A whole mesh of the usual size, once: more than that within the hour is a policy that was got wrong.
            budget: Budget { changes: 200, window: Period::minutes(60) },
        }
    }
}

/// A tag that resources must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequiredTag {
    /// Its key, in the case in which it must be written.
    #[schemars(length(min = 1, max = 128))]
    pub key: String,
    /// The kinds of resource that must have it; all seven when absent.
    #[serde(default)]
    pub kinds: Option<BTreeSet<ResourceKind>>,
    /// The values that it may have; any when empty.
    #[serde(default)]
    pub values: Vec<String>,
    /// What its value must look like, as a regular expression for the whole of it.
    #[serde(default)]
    pub pattern: Option<Pattern>,
    /// Whether a resource that lacks it may be given the value of those above it.
    #[serde(default = "yes")]
    pub inherit: bool,
}

const fn yes() -> bool {
    true
}

impl RequiredTag {
    /// Whether a kind of resource must have it.
    #[must_use]
    pub fn is_for(&self, kind: ResourceKind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Whether a value is one that it may have.
    #[must_use]
    pub fn allows(&self, value: &str) -> bool {
        (self.values.is_empty() || self.values.iter().any(|allowed| allowed == value))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(value))
    }
}

/// In which order values are handed down: a kind takes only from kinds that come before it.
const ORDER: [ResourceKind; 7] = [
    ResourceKind::Mesh,
    ResourceKind::VirtualGateway,
    ResourceKind::GatewayRoute,
    ResourceKind::VirtualService,
    ResourceKind::VirtualRouter,
    ResourceKind::Route,
    ResourceKind::VirtualNode,
];

impl TagPolicy {
    /// From which kinds a kind takes values, the first that has one.
    #[must_use]
    pub fn sources(&self, kind: ResourceKind) -> &[ResourceKind] {
        use ResourceKind::{GatewayRoute, Mesh, Route, VirtualGateway, VirtualNode, VirtualRouter, VirtualService};
        match (self.inheritance.get(&kind), kind) {
            (Some(own), _) => own,
            (None, Mesh) => &[],
            (None, VirtualGateway | VirtualService) => &[Mesh],
            (None, GatewayRoute) => &[VirtualGateway, Mesh],
            (None, VirtualRouter | VirtualNode) => &[VirtualService, Mesh],
            (None, Route) => &[VirtualRouter, Mesh],
        }
    }

    /// Whether a key is nobody's here.
    #[must_use]
    pub fn ignores(&self, key: &str) -> bool {
        self.ignore.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// The first thing that can't hold together with another: its key and what to do.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        let mut seen = BTreeSet::new();
        let required = self.required.iter().enumerate().find_map(|(index, tag)| {
            let at = |member: &str| format!("tags.required[{index}]{member}");
            if tag.key.is_empty() || tag.key.chars().count() > 128 {
                return Some((at(".key"), "a tag's key has 1 to 128 characters".to_owned()));
            }
            if self.ignores(&tag.key) {
                return Some((at(".key"), format!("`{}` begins with a prefix of tags.ignore", tag.key)));
            }
            if let Some(value) = tag.values.iter().find(|value| !tag.allows(value)) {
                return Some((at(".values"), format!("`{value}` doesn't match the pattern of the same tag")));
            }
            (!seen.insert((&tag.key, &tag.kinds)))
                .then(|| (at(".key"), format!("`{}` is required twice; merge the entries", tag.key)))
        });
        required.or_else(|| self.inheritance_in_circles())
    }

    fn inheritance_in_circles(&self) -> Option<(String, String)> {
        let place = |kind: ResourceKind| ORDER.iter().position(|other| *other == kind);
        self.inheritance.iter().find_map(|(kind, sources)| {
            let later = sources.iter().find(|source| place(**source) >= place(*kind))?;
            Some((
                format!("tags.inheritance.{kind}"),
                format!("a {} can't take tags from a {}, which may take them from it", kind.words(), later.words()),
            ))
        })
    }
}
