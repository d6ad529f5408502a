//! The part of the policy for the writers of route weights.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pattern, Period};

/// The writers of route weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WeightsPolicy {
    /// The callers that declare weights as infrastructure as code: regular expressions for whole role ARNs (without the
    /// path of the role) or key ids. The weights of any other caller are an operator's edit, and so are all of a server
    /// that does not name the caller of a version, such as a control plane without authentication.
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
        let limit_is_valid = (1..=20).contains(&self.reverts.limit);
        (!limit_is_valid).then(|| ("weights.reverts.limit".to_owned(), "expected 1 to 20".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use crate::Policy;

    #[test]
    fn section_has_bounds_and_defaults() {
        let policy = Policy::read("version: 1\n").unwrap();
        assert_eq!((policy.weights.declared_by.len(), policy.weights.reverts.limit), (0, 3));
        let declared = "version: 1\nweights: {declaredBy: ['arn:aws:iam::\\d+:role/terraform-.*']}\n";
        let declared = Policy::read(declared).unwrap().weights.declared_by;
        for (caller, matches) in [
            ("arn:aws:iam::123456789012:role/terraform-shop", true),
            ("arn:aws:iam::123456789012:role/terraform", false),
            ("arn:aws:iam::123456789012:role/x/arn:aws:iam::123456789012:role/terraform-shop", false),
            ("AKIDTERRAFORM", false),
        ] {
            assert_eq!(declared.iter().any(|pattern| pattern.matches(caller)), matches, "{caller}");
        }
        for (limit, valid) in [(0, false), (1, true), (20, true), (21, false)] {
            let read = Policy::read(&format!("version: 1\nweights: {{reverts: {{limit: {limit}}}}}\n"));
            assert_eq!(read.is_ok(), valid, "{limit}");
        }
    }
}
