//! The part of the policy for changes to a mesh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule_terms::Severity;

/// The notifications about changes to a mesh. All changes are recorded, independent of their author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditPolicy {
    /// The minimum severity of a new finding for an immediate notification. A degraded call always
    /// causes a notification.
    pub tell_from: Severity,
}

impl Default for AuditPolicy {
    fn default() -> Self {
        // Findings below this severity are in the sweep's report within hours.
        Self { tell_from: Severity::Medium }
    }
}
