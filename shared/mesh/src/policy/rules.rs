//! The part of the policy that sets single rules of the pack.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pack::Severity;

/// How a rule of the pack is set. Whether its remediation is made is a matter of `modes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RuleSetting {
    /// Whether the rule is evaluated. Absent: as the profile says, or in every profile where a severity is set.
    pub enabled: Option<bool>,
    /// How severe its findings are; the rule's own severity when absent.
    pub severity: Option<Severity>,
}
