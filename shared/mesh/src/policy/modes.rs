//! Who may change what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::MeshName;

/// Whether a function changes the mesh or only says what it would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Reports what it would do.
    Observe,
    /// Does it.
    Enforce,
}

/// What a mode is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleId {
    /// The function route-failover.
    RouteFailover,
    /// The function certificate-rotation.
    CertificateRotation,
}

/// The modes: the most specific entry holds, a mesh's own before the general ones, a rule's before the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        ] {
            assert_eq!(read(text).of(RuleId::RouteFailover, &shop), expected, "{text}");
        }
    }
}
