//! The policy document: the decisions that a team makes in advance.
//!
//! A YAML document, accepted as a whole or rejected as a whole. [`Policy::read`] reports line, column and key of the
//! first error, with its remedy; there is never a partly read policy.

mod alarms;
mod audit;
mod bounds;
mod certificates;
mod discovery;
mod drill_window;
mod drills;
pub mod edges;
mod egress;
mod failover;
mod modes;
mod pattern;
mod place;
mod read;
mod rollouts;
pub mod rule_terms;
mod rules;
mod tags;
mod waiver;
mod weights;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule_terms::{Profile, RuleName};

pub use alarms::{AlarmPeriod, AlarmPeriodError, AlarmRules, LatencyBound};
pub use audit::AuditPolicy;
pub use bounds::{
    AddressPolicy, EnvironmentPolicy, NamingPolicy, Protection, QuotaDefaults, QuotaPolicy, RequiredPreference,
    ResiliencePolicy, RoutingPolicy, TlsPolicy,
};
pub use certificates::{
    BackOffPolicy, BundlePolicy, CertificatesPolicy, ImportedPolicy, LeadTimes, ProbePolicy, RolloverPolicy, Succession,
};
pub use discovery::{AlarmDiscovery, Breach, CallerDisagreement, FailureMetric, FailureMetricsPolicy};
pub use drill_window::{DrillWindow, DrillWindowError, OpenWindow};
pub use drills::{ComeBack, DRILL_DURATION, DrillCapacity, DrillPlanPolicy, DrillsPolicy};
pub use egress::{EgressPolicy, NodeEgress};
pub use failover::{
    AlarmRole, Binding, Budget, CommonCausePolicy, EditPolicy, FailbackPolicy, FailoverPolicy, FlapPolicy,
    PagingPolicy, ProbeWithoutProof, StandbyPolicy, TargetPolicy,
};
pub use mesh::amounts::{AmountError, Percent, Period};
pub use mesh::name::{DrillName, DrillNameError};
pub use modes::{MeshModes, Mode, Modes, RuleId};
pub use pattern::{HostPattern, Pattern};
pub use read::PolicyError;
pub use rollouts::{
    AcknowledgePolicy, AtEnd, BakeTime, ErrorRatioGate, FirstRoutes, GateMetrics, HookFunction, HookStage, LatencyGate,
    MetricGate, Milliseconds, Move, PauseLimits, Ratio, RolloutAmountError, RolloutGates, RolloutHook, RolloutId,
    RolloutRequest, RolloutRequestError, RolloutStep, RolloutsPolicy, RouteSelection, RouterRoute, Statistic, Strategy,
};
pub use rules::RuleSetting;
pub use tags::{RequiredTag, TagPolicy};
pub use waiver::{Filled, Waiver, WaiverId};
pub use weights::{RevertPolicy, WeightsPolicy};

/// The built-in policy, used if no document is configured: every function observes, no alarm is bound, and the rules
/// suit a mesh in production.
pub const BUILT_IN: &str = include_str!("../../../infra/policy/default.yaml");

/// A policy document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// The version of the document's format.
    pub version: FormatVersion,
    /// The modes: which functions may change which meshes.
    #[serde(default)]
    pub modes: Modes,
    /// Failover of routes on alarms.
    #[serde(default)]
    pub failover: FailoverPolicy,
    /// Practice runs of failovers.
    #[serde(default)]
    pub drills: DrillsPolicy,
    /// The writers of route weights.
    #[serde(default)]
    pub weights: WeightsPolicy,
    /// Rollouts of new versions.
    #[serde(default)]
    pub rollouts: RolloutsPolicy,
    /// Which rules of the pack are evaluated. `rules` and `modes` add the rules that they name.
    #[serde(default)]
    pub profile: Profile,
    /// The settings of single rules of the pack, including their severity.
    #[serde(default)]
    pub rules: BTreeMap<RuleName, RuleSetting>,
    /// Required tags.
    #[serde(default)]
    pub tags: TagPolicy,
    /// The permitted egress of a mesh, and its repairs.
    #[serde(default)]
    pub egress: EgressPolicy,
    /// The required protection of calls.
    #[serde(default)]
    pub tls: TlsPolicy,
    /// Rotation of certificates and of their CAs.
    #[serde(default)]
    pub certificates: CertificatesPolicy,
    /// Retries and timeouts.
    #[serde(default)]
    pub routing: RoutingPolicy,
    /// The tags and attributes that name the zone of a virtual node.
    #[serde(default)]
    pub resilience: ResiliencePolicy,
    /// Quotas of the server.
    #[serde(default)]
    pub quotas: QuotaPolicy,
    /// The required form of names.
    #[serde(default)]
    pub naming: NamingPolicy,
    /// The environments, which must be separate.
    #[serde(default)]
    pub environments: EnvironmentPolicy,
    /// Address families.
    #[serde(default)]
    pub addresses: AddressPolicy,
    /// The notifications about changes.
    #[serde(default)]
    pub audit: AuditPolicy,
    /// Harms and findings that are waived until a date.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
}

/// The format's version; 1 is the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(with = "u32", extend("const" = 1))]
pub struct FormatVersion(());

impl TryFrom<u32> for FormatVersion {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            1 => Ok(Self(())),
            other => Err(format!("invalid format version {other}: this version reads format version 1")),
        }
    }
}

impl From<FormatVersion> for u32 {
    fn from(FormatVersion(()): FormatVersion) -> Self {
        1
    }
}

impl Policy {
    /// The policy of a function without a configured one: observe everything, change nothing.
    pub fn built_in() -> Result<Self, PolicyError> {
        Self::read(BUILT_IN)
    }

    /// Whether the document itself enables a rule: by its setting, or by a mode for its remediation.
    #[must_use]
    pub fn names(&self, rule: RuleName) -> bool {
        let is_set = |setting: &RuleSetting| setting.enabled.unwrap_or(setting.severity.is_some());
        self.rules.get(&rule).is_some_and(is_set) || self.modes.names(RuleId::Pack(rule))
    }

    /// The JSON Schema of the document, for editors.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).into()
    }

    /// The first contradiction in the document: its key and its remedy.
    fn contradiction(&self) -> Option<(String, String)> {
        (self.failover.contradiction())
            .or_else(|| self.drills.contradiction())
            .or_else(|| self.weights.contradiction())
            .or_else(|| self.rollouts.contradiction())
            .or_else(|| self.certificates.contradiction())
            .or_else(|| self.tags.contradiction())
            .or_else(|| self.egress.contradiction())
            .or_else(|| self.routing.contradiction())
            .or_else(|| self.environments.contradiction())
            .or_else(|| Waiver::contradiction(&self.waivers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policy_only_observes() {
        let policy = Policy::built_in().unwrap();
        let mesh = mesh::name::MeshName::parse("shop").unwrap();
        assert_eq!(policy.modes.mode(RuleId::RouteFailover, &mesh), Mode::Observe);
    }
}
