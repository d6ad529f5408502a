//! The settings of single rules of the pack.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule_terms::Severity;

/// The settings of a rule of the pack. `modes` controls its remediation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RuleSetting {
    /// Whether the rule is evaluated. Absent: by the profile, or in every profile if a severity is set.
    pub enabled: Option<bool>,
    /// The severity of its findings. Absent: the rule's own severity.
    pub severity: Option<Severity>,
}
