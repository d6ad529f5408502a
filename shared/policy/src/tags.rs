//! The part of the policy for tags.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Budget, Pattern, Period};
use mesh::name::ResourceKind;

/// The required tags of resources, and their inheritance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TagPolicy {
    /// The tags that resources must have.
    pub required: Vec<RequiredTag>,
    /// The time after the creation of a resource during which missing tags are not repaired. They are a finding from
    /// the beginning, so that every reader of the mesh has the same findings.
    pub grace: Period,
    /// The prefixes of keys that are ignored: such tags are never required, checked or written.
    pub ignore: Vec<String>,
    /// The parent kinds from which a kind inherits missing tags; the first parent with a value applies. Kinds that are
    /// not named keep their built-in parents.
    pub inheritance: BTreeMap<ResourceKind, Vec<ResourceKind>>,
    /// The budget of resources to tag.
    pub budget: Budget,
}

impl Default for TagPolicy {
    fn default() -> Self {
        Self {
            required: Vec::new(),
            // A day, so that a resource created by hand can be completed.
            grace: Period::minutes_long(24 * 60),
            ignore: vec!["aws:".to_owned(), "meshwarden:".to_owned()],
            inheritance: BTreeMap::new(),
            // One mesh of the usual size: more than that within an hour suggests a mistake in the policy.
            budget: Budget { changes: 200, window: Period::minutes(60) },
        }
    }
}

/// A required tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequiredTag {
    /// The key, in the required letter case.
    #[schemars(length(min = 1, max = 128))]
    pub key: String,
    /// The kinds of resources that must have it. Absent: all seven kinds.
    #[serde(default)]
    pub kinds: Option<BTreeSet<ResourceKind>>,
    /// The permitted values. Empty: any value.
    #[serde(default)]
    pub values: Vec<String>,
    /// A regular expression that the whole value must match.
    #[serde(default)]
    pub pattern: Option<Pattern>,
    /// Whether a resource without the tag may inherit its parents' value.
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

    /// Whether a value is permitted.
    #[must_use]
    pub fn allows(&self, value: &str) -> bool {
        (self.values.is_empty() || self.values.iter().any(|allowed| allowed == value))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(value))
    }
}

/// The order of inheritance: a kind inherits only from kinds before it.
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
    /// The kinds from which a kind inherits; the first one with a value applies.
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

    /// Whether a key is ignored.
    #[must_use]
    pub fn ignores(&self, key: &str) -> bool {
        self.ignore.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// The first contradiction: its key and its remedy.
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
