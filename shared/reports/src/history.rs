//! Since when a finding has been there, and what has changed since the last look.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::name::ResourcePath;
use mesh::pack::{Finding, FindingId, Severity};
use serde::{Deserialize, Serialize};

/// When each finding was first seen. What is gone is forgotten: should it come back, it is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(BTreeMap<FindingId, Dated>);

/// A finding, short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dated {
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// The rule's id. A rule may be gone with a later version, so this is no name of one.
    pub rule: String,
    /// How severe it is.
    pub severity: Severity,
    /// The resource.
    pub resource: ResourcePath,
}

/// What has changed since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Findings that were not there.
    pub new: Vec<(FindingId, Dated)>,
    /// Findings that are no more.
    pub resolved: Vec<(FindingId, Dated)>,
}

impl History {
    /// Takes over what is found now, and tells what is new and what is gone.
    pub fn update(&mut self, findings: &[Finding], now: Timestamp) -> Changes {
        let mut changes = Changes::default();
        let mut seen = BTreeSet::new();
        for finding in findings {
            let id = finding.id();
            seen.insert(id.clone());
            if let Some(dated) = self.0.get_mut(&id) {
                dated.severity = finding.severity;
                continue;
            }
            let dated = Dated {
                first_seen: now,
                rule: finding.rule.as_str().to_owned(),
                severity: finding.severity,
                resource: finding.resource.clone(),
            };
            changes.new.push((id.clone(), dated.clone()));
            self.0.insert(id, dated);
        }
        let gone: Vec<FindingId> = self.0.keys().filter(|id| !seen.contains(*id)).cloned().collect();
        changes.resolved = gone.into_iter().filter_map(|id| self.0.remove_entry(&id)).collect();
        changes
    }

    /// When a finding was first seen.
    #[must_use]
    pub fn first_seen(&self, finding: &Finding) -> Option<Timestamp> {
        self.0.get(&finding.id()).map(|dated| dated.first_seen)
    }
}

impl Changes {
    /// Whether nothing is new and nothing gone.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.new.is_empty() && self.resolved.is_empty()
    }
}
