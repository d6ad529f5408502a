//! The policy document: what people decide ahead of time, so that nobody has to at three in the morning.
//!
//! A YAML document, read as a whole or refused as a whole. [`Policy::read`] names the line, the column and the key of
//! what is wrong and how to mend it; there is no such thing as a partly read policy.

mod amounts;
mod certificates;
mod failover;
mod modes;
mod read;
mod waiver;

use serde::{Deserialize, Serialize};

pub use amounts::{AmountError, Percent, Period};
pub use certificates::{
    BackOffPolicy, BundlePolicy, CertificatesPolicy, ImportedPolicy, LeadTimes, RolloverPolicy, Succession,
};
pub use failover::{
    AlarmDiscovery, AlarmRole, Binding, Budget, CommonCausePolicy, EditPolicy, FailbackPolicy, FailoverPolicy,
    FlapPolicy, PagingPolicy, StandbyPolicy, TargetPolicy,
};
pub use modes::{MeshModes, Mode, Modes, RuleId};
pub use read::PolicyError;
pub use waiver::{Filled, Waiver, WaiverId};

/// The pack that holds when no document is named: every function observes, nothing is bound.
pub const BUILT_IN: &str = "version: 1\n";

/// A policy document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// The version of the document's format.
    pub version: FormatVersion,
    /// Which functions may change which meshes.
    #[serde(default)]
    pub modes: Modes,
    /// Fail-over of routes on alarms.
    #[serde(default)]
    pub failover: FailoverPolicy,
    /// Rotation of certificates and of those who issue them.
    #[serde(default)]
    pub certificates: CertificatesPolicy,
    /// Harms that somebody has allowed, for a while.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
}

/// The format's version; 1 is the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct FormatVersion(());

impl TryFrom<u32> for FormatVersion {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            1 => Ok(Self(())),
            other => Err(format!("this Meshwarden reads format version 1, not {other}")),
        }
    }
}

impl From<FormatVersion> for u32 {
    fn from(FormatVersion(()): FormatVersion) -> Self {
        1
    }
}

impl Policy {
    /// The policy of a function that was given none: observe everything, change nothing.
    pub fn built_in() -> Result<Self, PolicyError> {
        Self::read(BUILT_IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policy_only_observes() {
        let policy = Policy::built_in().unwrap();
        let mesh = crate::name::MeshName::parse("shop").unwrap();
        assert_eq!(policy.modes.of(RuleId::RouteFailover, &mesh), Mode::Observe);
    }
}
