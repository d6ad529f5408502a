//! Which calls of a run failed, so that one page reports all of them once it is worth one.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use mesh::failures::FailureClass;
use mesh::policy::{CertificatesPolicy, PagingPolicy};
use mesh::rotation::{Decision, KeepReason, Verdict};
use ports::{FailureRun, PortError};

/// The target that failures of the event bus are remembered by.
pub(crate) const BUS: &str = "the event bus";

/// The target that an invocation without enough time is remembered by.
pub(crate) const TIME: &str = "the time of an invocation";

/// The calls of one run.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    run: FailureRun,
    /// The texts of the errors.
    errors: Mutex<BTreeSet<String>>,
}

impl Calls {
    /// A call about a target failed.
    pub(crate) fn failed(&self, target: &str, error: &PortError) {
        self.run.failed(target, error);
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).insert(error.to_string());
    }

    /// A call about a target succeeded.
    pub(crate) fn succeeded(&self, target: &str) {
        self.run.succeeded(target);
    }

    /// A result of a call about a target, with its error as people read it.
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

    /// The time of the invocation was not enough.
    pub(crate) fn out_of_time(&self, why: &str) {
        self.run.fail(TIME, FailureClass::Transient, "OutOfTime", why.to_owned());
    }

    /// What was decided about something that cannot be read although no call failed, as a secret without a certificate.
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

    /// What is remembered between invocations.
    pub(crate) fn into_run(self) -> FailureRun {
        self.run
    }
}

/// When failing calls are paged: certificates are renewed long before they end, so that more time is given than elsewhere.
pub(crate) fn paging(policy: &CertificatesPolicy) -> PagingPolicy {
    PagingPolicy { unreadable_after: policy.unread_after, ..policy.paging.clone() }
}
