//! The gate that every authenticated request passes: rights, then the limit on writes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use mesh::name::ResourcePath;
use tokio::time::Instant;

use super::access::Access;
use super::file::{self, RightsFileError};
use super::grant::Rights;
use super::limit::{RateLimiter, WriteLimit};
use crate::auth::{Caller, Denial};
use crate::error::ApiError;
use crate::log::Truncated;
use crate::metrics::RightsMetrics;
use crate::reloaded::ReloadedFile;

/// The audit lines of one caller: one a second, 20 at once. Suppressed lines are counted.
const AUDIT_LINES: WriteLimit = WriteLimit { per_second: 1, burst: 20 };

/// The most callers with a number of suppressed lines.
const MAX_CALLERS: usize = 10_000;

/// Decides whether a caller may make a request.
#[derive(Debug)]
pub(crate) struct RightsGate {
    /// `None` without a file: every caller may make every request.
    file: Option<ReloadedFile<Rights>>,
    writes: Mutex<RateLimiter>,
    audit: Mutex<AuditLines>,
    metrics: RightsMetrics,
}

/// The limit on audit lines, and the suppressed ones by caller.
#[derive(Debug)]
struct AuditLines {
    limiter: RateLimiter,
    suppressed: HashMap<String, u64>,
}

/// The resources that a caller may read.
#[derive(Debug, Clone)]
pub(crate) struct VisibleResources(Option<(Rights, Caller)>);

impl RightsGate {
    /// Reads the file.
    pub(crate) fn open(
        path: Option<&Path>,
        limit: WriteLimit,
        metrics: RightsMetrics,
    ) -> Result<Self, RightsFileError> {
        let file = path.map(|path| ReloadedFile::open(path, "rights file", file::load)).transpose()?;
        if let Some(rights) = file.as_ref().and_then(ReloadedFile::current) {
            tracing::info!(subjects = rights.len(), "rights file is in force");
        }
        let audit = AuditLines { limiter: RateLimiter::new(AUDIT_LINES), suppressed: HashMap::new() };
        Ok(Self { file, writes: Mutex::new(RateLimiter::new(limit)), audit: Mutex::new(audit), metrics })
    }

    /// The reason why every request is refused at the moment, if there is one.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let is_invalid = self.file.as_ref().is_some_and(|file| file.current().is_none());
        is_invalid.then_some("the rights file is invalid")
    }

    /// Passes if the caller has the access. Otherwise the denial is counted and logged.
    pub(crate) fn permit(&self, caller: &Caller, operation: &'static str, access: &Access) -> Result<(), ApiError> {
        let Some(rights) = self.rights()? else { return Ok(()) };
        if rights.allows(caller, access) {
            return Ok(());
        }
        self.metrics.denied(operation, access.label());
        if let Some(suppressed) = self.audit_line(caller) {
            tracing::warn!(
                caller = %Truncated(caller.owner()),
                operation,
                missing = %Truncated(&access.to_string()),
                suppressed,
                "denied request of caller without rights"
            );
        }
        Err(ApiError::NotGranted { caller: caller.to_string(), missing: access.to_string() })
    }

    /// Counts a write of the caller, or refuses it if it made too many. Callers on this machine that do not authenticate have no
    /// limit.
    pub(crate) fn pass_write(&self, caller: &Caller, now: Instant) -> Result<(), ApiError> {
        if *caller == Caller::Local {
            return Ok(());
        }
        let passed = self.writes.lock().unwrap_or_else(PoisonError::into_inner).pass(caller.owner(), now);
        passed.map_err(|wait| {
            self.metrics.write_limited();
            ApiError::TooManyWrites { retry_after: wait.as_secs().saturating_add(1) }
        })
    }

    /// The resources that a caller may read.
    pub(crate) fn visible(&self, caller: &Caller) -> Result<VisibleResources, ApiError> {
        Ok(VisibleResources(self.rights()?.map(|rights| (rights, caller.clone()))))
    }

    fn rights(&self) -> Result<Option<Rights>, Denial> {
        match &self.file {
            None => Ok(None),
            Some(file) => file.current().map(Some).ok_or(Denial::NoRights),
        }
    }

    /// Whether to log a denial. Returns the number of suppressed lines of the caller since the last one.
    fn audit_line(&self, caller: &Caller) -> Option<u64> {
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = caller.owner();
        if audit.limiter.pass(owner, Instant::now()).is_ok() {
            return Some(audit.suppressed.remove(owner).unwrap_or_default());
        }
        if audit.suppressed.len() < MAX_CALLERS || audit.suppressed.contains_key(owner) {
            let count = audit.suppressed.entry(owner.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
        None
    }
}

impl VisibleResources {
    /// Whether the caller may read a resource.
    pub(crate) fn includes(&self, path: &ResourcePath) -> bool {
        self.0.as_ref().is_none_or(|(rights, caller)| rights.may_read(caller, path))
    }

    /// Whether the caller may read every proxy: a list of proxies is not filtered.
    pub(crate) fn includes_every_proxy(&self) -> bool {
        self.0.as_ref().is_none_or(|(rights, caller)| rights.reads_every_proxy(caller))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn audit_lines_are_bounded_by_caller_and_suppressed_ones_are_counted() {
        let metrics = crate::metrics::Metrics::new().rights();
        let gate = RightsGate::open(None, WriteLimit::default(), metrics).unwrap();
        let caller = |id: &str| Caller::Key { id: id.to_owned(), name: "ci".to_owned() };
        let lines = (0..100).filter(|_| gate.audit_line(&caller("loud")).is_some()).count();
        assert_eq!(lines, 20);
        assert_eq!(gate.audit_line(&caller("quiet")), Some(0), "another caller has its own lines");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(gate.audit_line(&caller("loud")), Some(80));
        assert_eq!(gate.audit_line(&caller("loud")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn caller_without_authentication_has_no_limit_of_writes() {
        let metrics = crate::metrics::Metrics::new().rights();
        let gate = RightsGate::open(None, WriteLimit { per_second: 1, burst: 1 }, metrics).unwrap();
        let key = Caller::Key { id: "AKID".to_owned(), name: "ci".to_owned() };
        let passes = |caller: &Caller| gate.pass_write(caller, Instant::now()).is_ok();
        assert!((0..10).all(|_| passes(&Caller::Local)));
        assert_eq!((passes(&key), passes(&key)), (true, false));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(passes(&key));
    }
}
