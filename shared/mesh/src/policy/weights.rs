//! The part of the policy for the writers of route weights.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pattern, Period};

/// The writers of route weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WeightsPolicy {
    /// The callers that declare weights as infrastructure as code: regular expressions for role ARNs or key names. The
    /// weights of any other caller are an operator's edit. It must be empty for now: no control plane reports the
    /// caller of a version, so every foreign write is an edit.
    pub declared_by: Vec<Pattern>,
    /// When a role and Meshwarden count as reverting each other.
    pub reverts: RevertPolicy,
}

/// The number of overwritten declarations within a window after which a rollout on the route is rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RevertPolicy {
    /// The number, 1 to 20.
    #[schemars(range(min = 1, max = 20))]
    pub limit: u8,
    /// The window.
    pub window: Period,
}

impl Default for RevertPolicy {
    fn default() -> Self {
        // Two deployments within an hour are usual, a third revert of the same weights is not.
        Self { limit: 3, window: Period::minutes(60) }
    }
}

impl WeightsPolicy {
    /// The first contradiction in the section: its key and its remedy.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        let problem = if !self.declared_by.is_empty() {
            ("weights.declaredBy", "expected an empty list: no control plane reports the caller of a version yet")
        } else if !(1..=20).contains(&self.reverts.limit) {
            ("weights.reverts.limit", "expected 1 to 20")
        } else {
            return None;
        };
        Some((problem.0.to_owned(), problem.1.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    #[test]
    fn section_has_bounds_and_defaults() {
        let policy = Policy::read("version: 1\n").unwrap();
        assert_eq!((policy.weights.declared_by.len(), policy.weights.reverts.limit), (0, 3));
        let declared = "version: 1\nweights: {declaredBy: ['arn:aws:iam::\\d+:role/terraform-.*']}\n";
        let refused = Policy::read(declared).unwrap_err().to_string();
        assert!(refused.contains("weights.declaredBy") && refused.contains("empty list"), "{refused}");
        for (limit, valid) in [(0, false), (1, true), (20, true), (21, false)] {
            let read = Policy::read(&format!("version: 1\nweights: {{reverts: {{limit: {limit}}}}}\n"));
            assert_eq!(read.is_ok(), valid, "{limit}");
        }
    }
}
