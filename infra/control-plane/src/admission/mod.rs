//! Admission: what a write would make worse is said, or refused, before it is stored.
//!
//! ```text
//!  write --> planned on the staged state --> judged beside it: findings after, less those before
//!                ^                                |
//!                +--- the mesh moved: again <-----+---> stored, with what it created told; or refused
//! ```
//!
//! A write is judged on exactly the resources that it is applied to: before it is applied they are compared with those
//! that were judged, under the lock of the state.
//!
//! Only what the write creates counts, never what was there before. And only findings on the written resource itself
//! refuse it, of groups that nothing which comes later would mend: a mesh can always be built up piece by piece.

mod policy_file;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;

use mesh::pack::{Finding, Severity};
use mesh::policy::Policy;
use tokio::task;

use crate::error::ApiError;
use crate::state::{Answer, Stamp, Write};
use crate::store::Store;
use policy_file::PolicyFile;
pub use policy_file::PolicyFileError;
use verdict::{Case, Verdict};

/// How often a write is judged beside the state before it is judged under its lock, where nothing can move.
const ATTEMPTS: u8 = 4;

/// What is done about a write that makes something worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AdmissionMode {
    /// Nothing: writes are not judged.
    #[default]
    Off,
    /// It is done, and what it creates is told.
    Warn,
    /// It is refused when it is severe enough, else told.
    Deny,
}

/// How writes are judged.
#[derive(Debug, Clone)]
pub struct AdmissionSettings {
    /// What is done about them.
    pub mode: AdmissionMode,
    /// The least severity that refuses a write.
    pub severity: Severity,
    /// The policy's file; the built-in policy where there is none.
    pub policy: Option<PathBuf>,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self { mode: AdmissionMode::Off, severity: Severity::High, policy: None }
    }
}

/// A judge of writes.
#[derive(Debug)]
pub(crate) struct Admission {
    policy: PolicyFile,
    /// The least severity that refuses; none refuses where there is none.
    refuses: Option<Severity>,
}

/// A write that was done.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) answer: Answer,
    /// What it made worse.
    pub(crate) created: Vec<Finding>,
}

impl Admission {
    /// `None` where writes are not judged.
    pub(crate) fn open(settings: AdmissionSettings) -> Result<Option<Self>, PolicyFileError> {
        let refuses = match settings.mode {
            AdmissionMode::Off => return Ok(None),
            AdmissionMode::Warn => None,
            AdmissionMode::Deny => Some(settings.severity),
        };
        Ok(Some(Self { policy: PolicyFile::open(settings.policy)?, refuses }))
    }

    /// The policy that writes are judged by, as it is now.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.current()
    }

    /// What is wrong with the policy's file, while an earlier version of it holds.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        self.policy.current();
        self.policy.is_broken().then_some("the policy file can't be used; its last good version holds")
    }

    /// Judges a write and carries it out, or refuses it.
    pub(crate) async fn write(&self, store: &Store, write: &Write, stamp: &Stamp) -> Result<Admitted, ApiError> {
        let policy = self.policy.current();
        let mut judged: Option<(Case, Verdict)> = None;
        for attempt in 0..=ATTEMPTS {
            let mut open = None;
            let mut created = Vec::new();
            let written = store.write_if(write, stamp, |state, planned| {
                let case = Case::of(state, planned);
                let verdict = match judged.take() {
                    Some((known, verdict)) if known.is_same(&case) => verdict,
                    _ if attempt == ATTEMPTS => case.judge(&policy, stamp.now, self.refuses),
                    _ => {
                        open = Some(case);
                        // Never answered: an open case is judged, and then the write is tried again.
                        return Err(ApiError::Unavailable);
                    }
                };
                created = verdict.admit(planned.path())?;
                Ok(())
            });
            if let Some(case) = open {
                let (policy, refuses, now) = (Arc::clone(&policy), self.refuses, stamp.now);
                let judging = task::spawn_blocking(move || {
                    let verdict = case.judge(&policy, now, refuses);
                    (case, verdict)
                });
                judged = Some(judging.await.map_err(|_| ApiError::Unavailable)?);
                continue;
            }
            let outcome = written.wait().await;
            count(store, write, &created, outcome.as_ref().err());
            return outcome.map(|answer| Admitted { answer, created });
        }
        Err(ApiError::Unavailable)
    }
}

fn count(store: &Store, write: &Write, created: &[Finding], error: Option<&ApiError>) {
    let (outcome, findings) = match error {
        None => ("warned", created),
        Some(ApiError::NotAdmitted { findings, .. }) => ("denied", findings.as_slice()),
        Some(_) => return,
    };
    for finding in findings {
        store.metrics().judged(outcome, finding.severity);
    }
    if !findings.is_empty() {
        let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).take(10).collect();
        tracing::warn!(resource = %write.path, outcome, count = findings.len(), ?rules, "a write creates findings");
    }
}
