//! Who may change what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::MeshName;
use crate::pack::RuleName;

/// Whether a function changes the mesh or only says what it would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Reports what it would do.
    Observe,
    /// Does it.
    Enforce,
}

/// What a mode is set for: a function that decides by itself, or a rule of the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RuleId {
    /// The function route-failover.
    RouteFailover,
    /// The function certificate-rotation.
    CertificateRotation,
    /// A rule of the policy pack: whether its remediation is made.
    Pack(RuleName),
}

impl RuleId {
    /// The functions, by the names that the document has for them.
    const FUNCTIONS: [(&'static str, Self); 2] =
        [("route-failover", Self::RouteFailover), ("certificate-rotation", Self::CertificateRotation)];

    /// What the document calls it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RouteFailover => "route-failover",
            Self::CertificateRotation => "certificate-rotation",
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
        let names: Vec<&str> = functions.chain(crate::pack::rules().map(|rule| rule.id)).collect();
        schemars::json_schema!({"type": "string", "enum": names})
    }
}

/// The modes: the most specific entry holds, a mesh's own before the general ones, a rule's before the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Modes {
    /// Holds where nothing else is said.
    #[serde(default = "observe")]
    pub default: Mode,
    /// By rule, on every mesh that has no entry of its own.
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
    /// Holds on this mesh for every rule without an entry below.
    pub default: Mode,
    /// By rule, on this mesh.
    #[serde(default)]
    pub rules: BTreeMap<RuleId, Mode>,
}

/// Nothing is changed until somebody says so.
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
    pub fn of(&self, rule: RuleId, mesh: &MeshName) -> Mode {
        match self.meshes.get(mesh) {
            Some(own) => own.rules.get(&rule).copied().unwrap_or(own.default),
            None => self.rules.get(&rule).copied().unwrap_or(self.default),
        }
    }

    /// Whether a rule has an entry of its own, for all meshes or for one.
    #[must_use]
    pub fn names(&self, rule: RuleId) -> bool {
        self.rules.contains_key(&rule) || self.meshes.values().any(|mesh| mesh.rules.contains_key(&rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

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
            assert_eq!(read(text).of(RuleId::RouteFailover, &shop), expected, "{text}");
        }
    }

    #[test]
    fn rules_of_the_pack_have_modes_of_their_own() {
        let modes = Policy::read("version: 1\nmodes: {rules: {tag-missing: enforce}}").unwrap().modes;
        let shop = MeshName::parse("shop").unwrap();
        let rule = |name: &str| RuleId::try_from(name.to_owned()).unwrap();
        assert_eq!(modes.of(rule("tag-missing"), &shop), Mode::Enforce);
        assert_eq!(modes.of(rule("tag-value"), &shop), Mode::Observe);
        let error = Policy::read("version: 1\nmodes: {rules: {tag-mising: enforce}}").unwrap_err();
        assert!(error.problem.contains("tag-missing"), "{error}");
    }
}
