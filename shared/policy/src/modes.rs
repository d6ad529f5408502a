//! The modes of functions and rules.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule_terms::{IDS, RuleName};
use mesh::name::MeshName;

/// Whether a function changes the mesh or only reports the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Reports the change.
    Observe,
    /// Makes the change.
    Enforce,
}

/// The subject of a mode: a function with its own decisions, or a rule of the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RuleId {
    /// The function route-failover.
    RouteFailover,
    /// The function certificate-rotation.
    CertificateRotation,
    /// The function failover-drill.
    FailoverDrill,
    /// The function traffic-shift.
    TrafficShift,
    /// A rule of the policy pack, for its remediation.
    Pack(RuleName),
}

impl RuleId {
    /// The functions, by their names in the document.
    const FUNCTIONS: [(&'static str, Self); 4] = [
        ("route-failover", Self::RouteFailover),
        ("certificate-rotation", Self::CertificateRotation),
        ("failover-drill", Self::FailoverDrill),
        ("traffic-shift", Self::TrafficShift),
    ];

    /// The name in the document.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RouteFailover => "route-failover",
            Self::CertificateRotation => "certificate-rotation",
            Self::FailoverDrill => "failover-drill",
            Self::TrafficShift => "traffic-shift",
            Self::Pack(name) => name.as_str(),
        }
    }
}

impl TryFrom<String> for RuleId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let function = Self::FUNCTIONS.into_iter().find(|(name, _)| *name == text);
        match function {
            Some((_, id)) => Ok(id),
            None => RuleName::try_from(text).map(Self::Pack).map_err(|error| error.to_string()),
        }
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.as_str().to_owned()
    }
}

impl JsonSchema for RuleId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RuleId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let functions = Self::FUNCTIONS.into_iter().map(|(name, _)| name);
        let names: Vec<&str> = functions.chain(IDS.iter().copied()).collect();
        schemars::json_schema!({"type": "string", "enum": names})
    }
}

/// The modes. The most specific entry applies: a mesh's entry before a general one, a rule's before the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Modes {
    /// The default mode.
    #[serde(default = "observe")]
    pub default: Mode,
    /// By rule, on every mesh without an own entry.
    #[serde(default)]
    pub rules: BTreeMap<RuleId, Mode>,
    /// By mesh.
    #[serde(default)]
    pub meshes: BTreeMap<MeshName, MeshModes>,
}

/// The modes of one mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshModes {
    /// The default mode on this mesh.
    pub default: Mode,
    /// By rule, on this mesh.
    #[serde(default)]
    pub rules: BTreeMap<RuleId, Mode>,
}

/// The default observes everything, so that no function changes a mesh without a setting.
const fn observe() -> Mode {
    Mode::Observe
}

impl Default for Modes {
    fn default() -> Self {
        Self { default: observe(), rules: BTreeMap::new(), meshes: BTreeMap::new() }
    }
}

impl Modes {
    /// The mode of a rule on a mesh.
    #[must_use]
    pub fn mode(&self, rule: RuleId, mesh: &MeshName) -> Mode {
        match self.meshes.get(mesh) {
            Some(own) => own.rules.get(&rule).copied().unwrap_or(own.default),
            None => self.rules.get(&rule).copied().unwrap_or(self.default),
        }
    }

    /// Whether a rule has an own entry, for all meshes or for one.
    #[must_use]
    pub fn names(&self, rule: RuleId) -> bool {
        self.rules.contains_key(&rule) || self.meshes.values().any(|mesh| mesh.rules.contains_key(&rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    #[test]
    fn the_most_specific_mode_holds() {
        let read = |text: &str| Policy::read(text).unwrap().modes;
        let shop = MeshName::parse("shop").unwrap();
        for (text, expected) in [
            ("version: 1", Mode::Observe),
            ("version: 1\nmodes: {default: enforce}", Mode::Enforce),
            ("version: 1\nmodes: {rules: {route-failover: enforce}}", Mode::Enforce),
            ("version: 1\nmodes: {default: enforce, meshes: {shop: {default: observe}}}", Mode::Observe),
            (
                "version: 1\nmodes: {meshes: {shop: {default: enforce, rules: {route-failover: observe}}}}",
                Mode::Observe,
            ),
            ("version: 1\nmodes: {meshes: {other: {default: enforce}}}", Mode::Observe),
            ("version: 1\nmodes: {rules: {tag-missing: enforce}}", Mode::Observe),
        ] {
            assert_eq!(read(text).mode(RuleId::RouteFailover, &shop), expected, "{text}");
        }
    }

    #[test]
    fn rules_of_the_pack_have_modes_of_their_own() {
        let modes = Policy::read("version: 1\nmodes: {rules: {tag-missing: enforce}}").unwrap().modes;
        let shop = MeshName::parse("shop").unwrap();
        let rule = |name: &str| RuleId::try_from(name.to_owned()).unwrap();
        assert_eq!(modes.mode(rule("tag-missing"), &shop), Mode::Enforce);
        assert_eq!(modes.mode(rule("tag-value"), &shop), Mode::Observe);
        let error = Policy::read("version: 1\nmodes: {rules: {tag-mising: enforce}}").unwrap_err();
        assert!(error.problem.contains("tag-missing"), "{error}");
    }
}
