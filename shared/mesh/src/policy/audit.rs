//! The part of the policy that is about changes which somebody makes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pack::Severity;

/// What people are told of changes to a mesh. All of them are written down, whoever makes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditPolicy {
    /// How severe a new finding must be for people to be told at once. A call that gets worse they are always told of.
    pub tell_from: Severity,
}

impl Default for AuditPolicy {
    fn default() -> Self {
        // What is merely untidy is in the sweep's report within hours.
        Self { tell_from: Severity::Medium }
    }
}
