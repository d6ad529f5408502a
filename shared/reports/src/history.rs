//! Records when each finding was first seen, and what has changed since the last run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
pub use records::DatedFinding as Dated;
use rules::pack::{Finding, FindingId};
use serde::{Deserialize, Serialize};

/// The time at which each finding was first seen. Resolved findings are removed: a finding that returns is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(BTreeMap<FindingId, Dated>);

/// The changes since the last run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Findings that are new.
    pub new: Vec<(FindingId, Dated)>,
    /// Findings that are resolved.
    pub resolved: Vec<(FindingId, Dated)>,
}

impl From<BTreeMap<FindingId, Dated>> for History {
    fn from(findings: BTreeMap<FindingId, Dated>) -> Self {
        Self(findings)
    }
}

impl From<History> for BTreeMap<FindingId, Dated> {
    fn from(history: History) -> Self {
        history.0
    }
}

impl History {
    /// Records the current findings, and returns the new and the resolved ones.
    pub fn update(&mut self, findings: &[Finding], now: Timestamp) -> Changes {
        self.update_known(findings, now, |_| true)
    }

    /// Like [`Self::update`], for a run that could not check everything. A recorded finding that is not among
    /// `findings` is resolved only if `is_known` returns true for it. Otherwise it stays unchanged.
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

    /// Splits the findings into this many parts. Each finding is always in the same part.
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

    /// Adds the findings of another part.
    pub fn join(&mut self, part: Self) {
        self.0.extend(part.0);
    }

    /// Whether there are no findings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time at which a finding was first seen.
    #[must_use]
    pub fn first_seen(&self, finding: &Finding) -> Option<Timestamp> {
        self.0.get(&finding.id()).map(|dated| dated.first_seen)
    }
}

impl Changes {
    /// Whether both lists are empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.new.is_empty() && self.resolved.is_empty()
    }
}
