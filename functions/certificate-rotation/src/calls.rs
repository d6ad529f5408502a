//! Collects the failed calls of a run, so that one page reports all of them once they have failed for long enough.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use decisions::rotation::{RotationDecision as Decision, RotationKeepReason as KeepReason, RotationVerdict as Verdict};
use mesh::failures::FailureClass;
use policy::{CertificatesPolicy, PagingPolicy};
use ports::PortError;
use runner::FailureRun;

/// The calls of one run.
#[derive(Debug)]
pub(crate) struct Calls<'a> {
    run: &'a FailureRun,
    /// The texts of the errors of failed calls.
    errors: Mutex<BTreeSet<String>>,
}

impl<'a> Calls<'a> {
    /// Creates the calls of a run.
    pub(crate) fn new(run: &'a FailureRun) -> Self {
        Self { run, errors: Mutex::default() }
    }

    /// Records that a call for a target failed.
    pub(crate) fn failed(&self, target: &str, error: &PortError) {
        self.run.failed(target, error);
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).insert(error.to_string());
    }

    /// Records that a call for a target succeeded.
    pub(crate) fn succeeded(&self, target: &str) {
        self.run.succeeded(target);
    }

    /// Records the result of a call for a target, and returns it with the text of its error.
    pub(crate) fn noted<T>(&self, target: &str, result: Result<T, PortError>) -> Result<T, String> {
        match result {
            Ok(done) => {
                self.succeeded(target);
                Ok(done)
            }
            Err(error) => {
                self.failed(target, &error);
                Err(error.to_string())
            }
        }
    }

    /// Records whether the contents of a decision's subject could be read. They can be unreadable although no call
    /// failed, as in a secret without a certificate.
    pub(crate) fn decided(&self, decision: &Decision) {
        let target = format!("contents of {}", decision.subject);
        match &decision.verdict {
            Verdict::Keep(KeepReason::Unread { why }) => {
                let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
                if !errors.iter().any(|error| why.contains(error.as_str())) {
                    self.run.fail(&target, FailureClass::Transient, "Unread", why.clone());
                }
            }
            Verdict::Keep(_) | Verdict::Verify(_) | Verdict::Issue(_) | Verdict::Distribute(_) | Verdict::Retire(_) => {
                self.run.succeeded(&target);
            }
        }
    }
}

/// The paging limits for failed calls. Certificates are renewed long before they expire, so the limit is longer than in
/// other functions.
pub(crate) fn paging(policy: &CertificatesPolicy) -> PagingPolicy {
    PagingPolicy { unreadable_after: policy.unread_after, ..policy.paging.clone() }
}
