//! What a rule is.

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
    /// Its id. Never changes, never means something else later.
    pub id: &'static str,
    /// The smallest profile that evaluates it.
    pub profile: Profile,
    /// What it is about.
    pub group: Group,
    /// How severe its findings are, unless the policy says otherwise.
    pub severity: Severity,
    /// The kinds of resource that its findings are on.
    pub on: &'static [ResourceKind],
    /// What is wrong when it finds something, in a few words.
    pub title: &'static str,
    /// What it looks at and why that matters, for people who meet the finding.
    pub why: &'static str,
    /// What to do about it.
    pub mend: &'static str,
    /// The managed rules of AWS Config that look at the same.
    pub managed: &'static [&'static str],
    /// The controls that it serves.
    pub controls: &'static [Control],
    /// Whether it needs the certificates themselves: where they could not be read, that it finds nothing says nothing.
    pub rests_on_certificates: bool,
    /// Looks at a mesh.
    pub(super) check: fn(&Scene<'_>, &mut Found<'_>),
}

impl Rule {
    /// Its id.
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
    /// What is broken, in plain text, expiring, dangling or open to anybody.
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

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Group {
    /// Tags and where they come from.
    Tags,
    /// What leaves the mesh.
    Egress,
    /// Encryption of each call.
    Tls,
    /// Certificates and their ends.
    Certificates,
    /// Where traffic goes.
    Routing,
    /// Time limits and retries.
    Retries,
    /// What happens when something fails.
    Resilience,
    /// Access logs.
    Observability,
    /// How hosts are found.
    Discovery,
    /// Limits of the service.
    Quotas,
    /// What is paid for and not used.
    Cost,
    /// Names and environments.
    Naming,
    /// What a file says and its target does not do.
    Files,
    /// The policy itself.
    Policy,
}

impl Group {
    /// A heading for people.
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

/// How severe a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// To be mended some time.
    Low,
    /// To be mended soon.
    Medium,
    /// Something is insecure or won't work.
    High,
    /// Something is broken, or open to anybody, now.
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

/// The id of a rule that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleName(&'static str);

// Derived, this would want to borrow the text for ever, since that is how the name holds it.
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

/// There is no such rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no rule `{given}`; did you mean `{nearest}`?")]
pub struct UnknownRule {
    /// The id as given.
    pub given: String,
    /// The rule whose id is most like it.
    pub nearest: &'static str,
}
