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

impl From<BTreeMap<FindingId, Dated>> for History {
    fn from(findings: BTreeMap<FindingId, Dated>) -> Self {
        Self(findings)
    }
}

impl History {
    /// Takes over what is found now, and tells what is new and what is gone.
    pub fn update(&mut self, findings: &[Finding], now: Timestamp) -> Changes {
        self.update_known(findings, now, |_| true)
    }

    /// The same where not everything could be looked at: what is not found, and `is_known` doesn't say that it was looked
    /// for, is neither there nor gone. It stays as it was.
    pub fn update_known(&mut self, findings: &[Finding], now: Timestamp, is_known: impl Fn(&Dated) -> bool) -> Changes {
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
        let gone = self.0.iter().filter(|(id, dated)| !seen.contains(*id) && is_known(dated));
        let gone: Vec<FindingId> = gone.map(|(id, _)| id.clone()).collect();
        changes.resolved = gone.into_iter().filter_map(|id| self.0.remove_entry(&id)).collect();
        changes
    }

    /// The findings in so many parts, each finding always in the same one.
    #[must_use]
    pub fn split(&self, parts: usize) -> Vec<Self> {
        let mut all = vec![Self::default(); parts.max(1)];
        for (id, dated) in &self.0 {
            // The ids are hashes, so their first digits spread evenly.
            let first = id.as_str().get(..4).and_then(|digits| usize::from_str_radix(digits, 16).ok());
            if let Some(part) = all.get_mut(first.unwrap_or_default() % parts.max(1)) {
                part.0.insert(id.clone(), dated.clone());
            }
        }
        all
    }

    /// Takes over the findings of another part.
    pub fn join(&mut self, part: Self) {
        self.0.extend(part.0);
    }

    /// Whether there are no findings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
