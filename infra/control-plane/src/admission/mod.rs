//! Admission: a write that would create findings is reported, or refused, before it is stored.
//!
//! ```text
//!  write --> planned on the staged state --> judged without the lock: findings after it, less the findings before it
//!                ^                                |
//!                +--- retry: the mesh changed <---+---> stored, and the created findings reported; or refused
//! ```
//!
//! A write is judged on exactly the resources that it is applied to: immediately before it is applied, under the lock of
//! the state, the current resources are compared with the judged ones.
//!
//! Only findings that the write creates count, never findings that were there before. A write is refused only for findings
//! on the written resource itself, in groups that no later write would resolve: a mesh can always be built up step by step.

mod policy_file;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;

use policy::Policy;
use rules::pack::{Finding, Severity};
use tokio::task;

use crate::error::ApiError;
use crate::state::{Answer, Stamp, Write};
use crate::store::{Store, WriteAttempts};
use policy_file::PolicyFile;
pub use policy_file::PolicyFileError;
use verdict::{AdmissionCase, AdmissionVerdict};

/// How often a write is judged without the lock of the state. After that it is judged under the lock, where no other
/// write can change the mesh.
const ATTEMPTS: u8 = 4;

/// How the server treats a write that creates findings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AdmissionMode {
    /// Writes are not judged.
    #[default]
    Off,
    /// The write is stored, and the findings that it creates are reported.
    Warn,
    /// The write is refused if a finding is severe enough; otherwise it is stored and the findings are reported.
    Deny,
}

/// The settings of admission.
#[derive(Debug, Clone)]
pub struct AdmissionSettings {
    /// How a write that creates findings is treated.
    pub mode: AdmissionMode,
    /// The lowest severity that refuses a write; used in mode `Deny` only. Default: high.
    pub severity: Severity,
    /// The policy file. Default: the built-in policy.
    pub policy: Option<PathBuf>,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self { mode: AdmissionMode::Off, severity: Severity::High, policy: None }
    }
}

/// Judges writes against a policy.
#[derive(Debug)]
pub(crate) struct Admission {
    policy: PolicyFile,
    /// The lowest severity that refuses a write; `None` refuses no write.
    refuses: Option<Severity>,
}

/// A stored write.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) answer: Answer,
    /// The findings that it created.
    pub(crate) created: Vec<Finding>,
}

impl Admission {
    /// Opens the policy of the settings; `None` in mode `Off`.
    pub(crate) fn open(settings: AdmissionSettings) -> Result<Option<Self>, PolicyFileError> {
        let refuses = match settings.mode {
            AdmissionMode::Off => return Ok(None),
            AdmissionMode::Warn => None,
            AdmissionMode::Deny => Some(settings.severity),
        };
        Ok(Some(Self { policy: PolicyFile::open(settings.policy)?, refuses }))
    }

    /// The current policy.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.current()
    }

    /// The problem with the policy file, while the server uses an earlier version of it.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.policy.current();
        self.policy.is_broken().then_some("the policy file is invalid; its last valid version is in use")
    }

    /// Judges a write, then stores or refuses it.
    pub(crate) async fn write(
        &self,
        store: &Store,
        mut writing: WriteAttempts,
        write: &Write,
        stamp: &Stamp,
    ) -> Result<Admitted, ApiError> {
        let policy = self.policy.current();
        let mut judged: Option<(AdmissionCase, AdmissionVerdict)> = None;
        let mut attempt = 0;
        loop {
            let mut open = None;
            let mut created = Vec::new();
            let written = store.write_if(&writing, write, stamp, |state, planned| {
                let case = AdmissionCase::new(state, planned);
                let verdict = match judged.take() {
                    Some((known, verdict)) if known.is_same(&case) => verdict,
                    _ if attempt == ATTEMPTS => case.judge(&policy, stamp.now, self.refuses),
                    _ => {
                        open = Some(case);
                        // No client receives this error: the case is judged outside the lock, then the write is tried
                        // again.
                        return Err(ApiError::Unavailable);
                    }
                };
                created = verdict.admit(planned.path())?;
                Ok(created.clone())
            });
            if let Some(case) = open {
                let (policy, refuses, now) = (Arc::clone(&policy), self.refuses, stamp.now);
                let judging = task::spawn_blocking(move || {
                    let verdict = case.judge(&policy, now, refuses);
                    (case, verdict)
                });
                judged = Some(judging.await.map_err(|_| ApiError::Unavailable)?);
                attempt += 1;
                continue;
            }
            // Without an outcome, another replica wrote first.
            let Some(outcome) = written.wait(&mut writing).await else { continue };
            record_findings(store, write, &created, outcome.as_ref().err());
            return outcome.map(|answer| Admitted { answer, created });
        }
    }
}

fn record_findings(store: &Store, write: &Write, created: &[Finding], error: Option<&ApiError>) {
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
        tracing::warn!(resource = %write.path, outcome, count = findings.len(), ?rules, "write creates findings");
    }
}
