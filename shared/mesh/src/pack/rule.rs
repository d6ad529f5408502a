//! Rules, their profiles, groups and severities.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::controls::Control;
use super::finding::Found;
use super::rules;
use super::scene::Scene;
use crate::name::ResourceKind;

/// A rule of the pack.
#[derive(Clone, Copy)]
pub struct Rule {
    /// The id. It never changes and never gets another meaning.
    pub id: &'static str,
    /// The smallest profile that evaluates it.
    pub profile: Profile,
    /// The subject area.
    pub group: Group,
    /// The severity of its findings, unless the policy sets another.
    pub severity: Severity,
    /// The kinds of resource that its findings concern.
    pub on: &'static [ResourceKind],
    /// The violation, in a few words.
    pub title: &'static str,
    /// The condition that it evaluates and the effect of a violation, for operators.
    pub why: &'static str,
    /// The change that resolves a finding, for operators.
    pub remedy: &'static str,
    /// The managed rules of AWS Config with the same condition.
    pub managed: &'static [&'static str],
    /// The controls that it serves.
    pub controls: &'static [Control],
    /// Whether it needs the certificates themselves. Without them, the absence of a finding proves nothing.
    pub rests_on_certificates: bool,
    /// Evaluates a mesh.
    pub(super) check: fn(&Scene<'_>, &mut Found<'_>),
}

impl Rule {
    /// The id as a name that the policy uses.
    #[must_use]
    pub const fn name(&self) -> RuleName {
        RuleName(self.id)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).field("group", &self.group).finish_non_exhaustive()
    }
}

/// A named selection of rules: each profile evaluates the rules of those before it as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Rules on broken, plain-text, expiring or dangling resources, and on resources that are open to any client.
    Core,
    /// `core`, and good practice that a healthy mesh meets.
    #[default]
    Recommended,
    /// Every rule.
    Strict,
}

impl Profile {
    /// Every profile, the smallest first.
    pub const ALL: [Self; 3] = [Self::Core, Self::Recommended, Self::Strict];

    /// The name of the profile in policy documents and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Recommended => "recommended",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The subject area of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Group {
    /// Tags and their inheritance.
    Tags,
    /// Traffic that leaves the mesh.
    Egress,
    /// Encryption of each call.
    Tls,
    /// Certificates and their validity.
    Certificates,
    /// Routes and their targets.
    Routing,
    /// Time limits and retries.
    Retries,
    /// Behaviour during a failure.
    Resilience,
    /// Access logs.
    Observability,
    /// Service discovery.
    Discovery,
    /// Quotas of the App Mesh server.
    Quotas,
    /// Unused resources, which cost money.
    Cost,
    /// Names and environments.
    Naming,
    /// Members of a file that its target refuses or drops.
    Files,
    /// The policy itself.
    Policy,
}

impl Group {
    /// The heading in reports.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Tags => "Tags",
            Self::Egress => "Egress",
            Self::Tls => "TLS",
            Self::Certificates => "Certificates",
            Self::Routing => "Routing",
            Self::Retries => "Retries and time limits",
            Self::Resilience => "Resilience",
            Self::Observability => "Observability",
            Self::Discovery => "Service discovery",
            Self::Quotas => "Quotas",
            Self::Cost => "Cost",
            Self::Naming => "Naming and environments",
            Self::Files => "Files",
            Self::Policy => "The policy itself",
        }
    }
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information; needs no action.
    Info,
    /// To be resolved eventually.
    Low,
    /// To be resolved soon.
    Medium,
    /// Insecure, or does not work.
    High,
    /// Broken now, or open to any client now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// The id of an existing rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleName(&'static str);

// The derived implementation would borrow the text for `'static`, because the name stores a `&'static str`.
impl<'de> Deserialize<'de> for RuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl RuleName {
    /// The id.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The rule.
    #[must_use]
    pub fn rule(self) -> Option<&'static Rule> {
        super::rules().find(|rule| rule.id == self.0)
    }
}

impl TryFrom<String> for RuleName {
    type Error = UnknownRule;

    fn try_from(text: String) -> Result<Self, UnknownRule> {
        match super::rules().find(|rule| rule.id == text) {
            Some(rule) => Ok(rule.name()),
            None => Err(UnknownRule { nearest: rules::nearest(&text), given: text }),
        }
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0.to_owned()
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl JsonSchema for RuleName {
    fn schema_name() -> Cow<'static, str> {
        "RuleName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = super::rules().map(|rule| rule.id).collect();
        schemars::json_schema!({"type": "string", "enum": names})
    }
}

/// The error for an id that no rule has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown rule `{given}`; did you mean `{nearest}`?")]
pub struct UnknownRule {
    /// The id as given.
    pub given: String,
    /// The rule with the most similar id.
    pub nearest: &'static str,
}
