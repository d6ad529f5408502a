//! Caches the policy in force, and checks for a new version every minute.
//!
//! | policy document | at start | first invocation | later |
//! |---|---|---|---|
//! | readable and valid | in force | | in force after a minute |
//! | source temporarily unreadable | the process starts | read again; without it, the invocation fails and is reported | the last valid version stays in force |
//! | source permanently unreadable, or invalid | the start fails | the invocation fails and is reported | the last valid version stays in force |

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh::failures::FailureClass;
use policy::PagingPolicy;
use ports::{Deadline, PolicySource, PortError, PortErrorKind};
use tokio::sync::Mutex;

use crate::failure_memory::{FailureMemory, FailureRun};
use crate::report::{Report, Signals};
use crate::runtime::Retry;

/// The interval at which a warm function checks for a new version. A shorter one costs calls; with a longer one,
/// operators wait for their own changes.
pub const REREAD_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// The time limit for the first version, at start and in the first invocations. Lambda ends a process that has not
/// started after 10 seconds, and runs the start again within the time of the first invocation.
pub const LOAD_WITHIN: Duration = Duration::from_secs(6);

/// The time limit for a newer version while another one is in force: an alarm must not wait for it.
pub const REFRESH_WITHIN: Duration = Duration::from_secs(2);

/// The additional time for a source that does not observe the deadline.
const GRACE: Duration = Duration::from_millis(250);

/// The failure target under which a policy that cannot be loaded is remembered and paged.
const TARGET: &str = "the policy";

/// The last valid policy, and the error of the newest version if that is invalid.
pub struct PolicyKeeper<P, E> {
    source: Box<dyn PolicySource>,
    parse: fn(&str) -> Result<P, E>,
    /// `None` until the first version is loaded.
    kept: Mutex<Option<Kept<P>>>,
}

struct Kept<P> {
    policy: Arc<P>,
    text: String,
    rejected: Option<Rejected>,
    looked: Timestamp,
}

struct Rejected {
    text: String,
    why: String,
}

/// The policy in force.
#[derive(Debug)]
pub struct Current<P> {
    /// The last valid version.
    pub policy: Arc<P>,
    /// Why the newest version is not in force: it is invalid. Returned by every call until the document is fixed.
    pub rejected: Option<String>,
}

/// Why no policy is in force, in one line.
#[derive(Debug, thiserror::Error)]
pub enum NoPolicy {
    /// The document could not be read.
    #[error("failed to load the policy: {0}. Check MESHWARDEN_POLICY and the permission to read what it names")]
    Unreadable(PortError),
    /// The document is invalid.
    #[error("failed to load the policy: {why}")]
    Broken {
        /// The error in the document, with line and key.
        why: String,
    },
}

impl NoPolicy {
    /// Ends an invocation without a policy: remembers and pages the failure, recorded in `run`. The policy's own paging
    /// limits are not known.
    pub async fn end_invocation(
        &self,
        memory: &FailureMemory,
        run: FailureRun,
        deadline: Deadline,
        now: Timestamp,
    ) -> Retry {
        run.fail(TARGET, self.class(), self.kind(), self.to_string());
        let withheld = memory.finish_by(deadline, run, &PagingPolicy::default(), now).await;
        self.retry(u32::try_from(withheld).unwrap_or(u32::MAX))
    }

    /// Records that a policy is in force.
    pub fn record_loaded(run: &FailureRun) {
        run.succeeded(TARGET);
    }

    /// The target of the failure in a page.
    #[must_use]
    pub const fn target() -> &'static str {
        TARGET
    }

    /// Whether a later invocation may succeed.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Unreadable(error) => error.kind.class(),
            Self::Broken { .. } => FailureClass::Permanent,
        }
    }

    /// The stable class of the error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable(error) => error.kind.name(),
            Self::Broken { .. } => "invalid",
        }
    }

    /// The failed invocation: nothing was observed, and every event is delivered again. `pages_withheld` is the number
    /// of pages that could not be remembered.
    #[must_use]
    pub fn retry(&self, pages_withheld: u32) -> Retry {
        let signals =
            Signals { policy_unavailable: true, observed_nothing: true, pages_withheld, ..Signals::default() };
        Retry { report: Some(Report { signals, ..Report::new(Vec::new()) }), ..Retry::all(self.to_string()) }
    }
}

impl<P, E: fmt::Display> PolicyKeeper<P, E> {
    /// Loads the first version. An invalid one never falls back to a default. If the source is temporarily unreadable,
    /// the first invocation reads it again.
    pub async fn start(
        source: Box<dyn PolicySource>,
        parse: fn(&str) -> Result<P, E>,
        now: Timestamp,
    ) -> Result<Self, NoPolicy> {
        let kept = match load(source.as_ref(), parse, LOAD_WITHIN, now).await {
            Ok(kept) => Some(kept),
            Err(NoPolicy::Unreadable(error)) if error.kind.may_heal() => {
                tracing::warn!(%error, "failed to load the policy at start; the first invocation reads it again");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { source, parse, kept: Mutex::new(kept) })
    }

    /// The policy as of `now`. After a minute the source is read again. If the new version is invalid or the source
    /// cannot be read, the last valid version stays in force. The error is that no version was ever loaded.
    pub async fn current(&self, now: Timestamp) -> Result<Current<P>, NoPolicy> {
        let mut slot = self.kept.lock().await;
        let kept = if let Some(kept) = slot.as_mut() {
            kept
        } else {
            // The other half of the time is for the report.
            let within = Deadline::remaining().map_or(LOAD_WITHIN, |left| LOAD_WITHIN.min(left / 2));
            slot.insert(load(self.source.as_ref(), self.parse, within, now).await?)
        };
        if now.duration_since(kept.looked) >= REREAD_AFTER {
            kept.looked = now;
            match read(self.source.as_ref(), REFRESH_WITHIN).await {
                Ok(text) => kept.take(text, self.parse),
                Err(error) => {
                    tracing::warn!(%error, "failed to reload the policy; the last valid version stays in force");
                }
            }
        }
        let rejected = kept.rejected.as_ref().map(|rejected| rejected.why.clone());
        if let Some(why) = &rejected {
            tracing::error!(why, "the newest policy is invalid; the last valid version stays in force");
        }
        Ok(Current { policy: Arc::clone(&kept.policy), rejected })
    }
}

/// Loads the first version.
async fn load<P, E: fmt::Display>(
    source: &dyn PolicySource,
    parse: fn(&str) -> Result<P, E>,
    within: Duration,
    now: Timestamp,
) -> Result<Kept<P>, NoPolicy> {
    let text = read(source, within).await.map_err(NoPolicy::Unreadable)?;
    let policy = parse(&text).map_err(|error| NoPolicy::Broken { why: one_line(&error) })?;
    Ok(Kept { policy: Arc::new(policy), text, rejected: None, looked: now })
}

/// Reads the document within this time. Calls of services end by themselves and name the operation.
async fn read(source: &dyn PolicySource, within: Duration) -> Result<String, PortError> {
    let read = Deadline::after(within).cover(source.read());
    tokio::time::timeout(within + GRACE, read).await.unwrap_or_else(|_| {
        Err(PortError::new("read the policy", PortErrorKind::TimedOut, "the source did not answer in time"))
    })
}

impl<P> Kept<P> {
    fn take<E: fmt::Display>(&mut self, text: String, parse: fn(&str) -> Result<P, E>) {
        if text == self.text {
            self.rejected = None;
        } else if self.rejected.as_ref().is_none_or(|rejected| rejected.text != text) {
            match parse(&text) {
                Ok(policy) => {
                    *self = Self { policy: Arc::new(policy), text, rejected: None, looked: self.looked };
                }
                Err(error) => self.rejected = Some(Rejected { text, why: one_line(&error) }),
            }
        }
    }
}

impl<P, E> fmt::Debug for PolicyKeeper<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyKeeper").field("source", &self.source).finish_non_exhaustive()
    }
}

fn one_line(error: &impl fmt::Display) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use ports_memory::{Effect, Failure, Fault, Faults, MemoryPolicy};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| format!("line 1:\n  `{text}` is not a number"))
    }

    async fn keeper(text: &str) -> (MemoryPolicy, Faults, Result<PolicyKeeper<u32, String>, NoPolicy>) {
        let faults = Faults::default();
        let source = MemoryPolicy::new(text, faults.clone());
        let keeper = PolicyKeeper::start(Box::new(source.clone()), number, at(0)).await;
        (source, faults, keeper)
    }

    #[tokio::test]
    async fn a_broken_first_version_is_an_error_of_one_line() {
        let (_, _, keeper) = keeper("one").await;
        assert_eq!(keeper.unwrap_err().to_string(), "failed to load the policy: line 1:; `one` is not a number");
    }

    #[tokio::test]
    async fn a_new_version_is_seen_after_a_minute_and_not_before() {
        let (source, faults, keeper) = keeper("1").await;
        let keeper = keeper.unwrap();
        source.set("2");
        assert_eq!(*keeper.current(at(59)).await.unwrap().policy, 1);
        assert_eq!(faults.calls().len(), 1);
        assert_eq!(*keeper.current(at(60)).await.unwrap().policy, 2);
        assert_eq!(*keeper.current(at(61)).await.unwrap().policy, 2);
        assert_eq!(faults.calls().len(), 2);
    }

    #[tokio::test]
    async fn a_broken_new_version_keeps_the_last_good_one_and_says_so_each_time() {
        let (source, _, keeper) = keeper("1").await;
        let keeper = keeper.unwrap();
        source.set("two");
        for now in [60, 61, 200] {
            let current = keeper.current(at(now)).await.unwrap();
            assert_eq!(*current.policy, 1);
            assert_eq!(current.rejected.as_deref(), Some("line 1:; `two` is not a number"));
        }
        source.set("1");
        assert_eq!(keeper.current(at(300)).await.unwrap().rejected, None);
        source.set("3");
        let current = keeper.current(at(400)).await.unwrap();
        assert_eq!((*current.policy, current.rejected), (3, None));
    }

    #[tokio::test]
    async fn a_source_that_fails_keeps_what_was_known() {
        let (source, faults, keeper) = keeper("1").await;
        let keeper = keeper.unwrap();
        source.set("2");
        faults.whenever(|_| true, Fault::Fails(Failure::Unavailable, Effect::NotDone));
        let current = keeper.current(at(60)).await.unwrap();
        assert_eq!((*current.policy, current.rejected), (1, None));
        faults.reset();
        assert_eq!(*keeper.current(at(120)).await.unwrap().policy, 2);
    }

    /// A source of which every read takes this long.
    #[derive(Debug)]
    struct Slow(Duration);

    #[async_trait::async_trait]
    impl PolicySource for Slow {
        async fn read(&self) -> Result<String, PortError> {
            tokio::time::sleep(self.0).await;
            Ok("1".to_owned())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn temporary_failure_at_start_is_left_to_the_first_invocation() {
        for (failure, starts) in [
            (Failure::Unavailable, true),
            (Failure::Throttled, true),
            (Failure::TimedOut, true),
            (Failure::Denied, false),
        ] {
            let faults = Faults::default();
            let source = MemoryPolicy::new("1", faults.clone());
            faults.whenever(|_| true, Fault::Fails(failure, Effect::NotDone));
            let keeper = PolicyKeeper::start(Box::new(source), number, at(0)).await;
            assert_eq!(keeper.is_ok(), starts, "{failure:?}");
            let Ok(keeper) = keeper else { continue };
            // Each invocation tries again, and none has a default instead.
            for second in [1, 2] {
                let error = keeper.current(at(second)).await.unwrap_err();
                assert!(error.to_string().starts_with("failed to load the policy: "), "{error}");
                let signals = error.retry(0).report.unwrap().signals;
                assert!(signals.observed_nothing && signals.policy_unavailable, "{signals:?}");
            }
            faults.reset();
            assert_eq!(*keeper.current(at(3)).await.unwrap().policy, 1, "{failure:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_policy_in_the_first_invocation_is_an_error() {
        let faults = Faults::default();
        let source = MemoryPolicy::new("one", faults.clone());
        faults.once(|_| true, Fault::Fails(Failure::Unavailable, Effect::NotDone));
        let keeper = PolicyKeeper::start(Box::new(source.clone()), number, at(0)).await.unwrap();
        let error = keeper.current(at(1)).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), ("invalid", FailureClass::Permanent));
        source.set("2");
        assert_eq!(*keeper.current(at(2)).await.unwrap().policy, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn every_read_has_a_time_limit() {
        let took = |began: tokio::time::Instant| began.elapsed();
        let began = tokio::time::Instant::now();
        let keeper = PolicyKeeper::start(Box::new(Slow(Duration::from_mins(1))), number, at(0)).await.unwrap();
        assert!(took(began) < Duration::from_secs(7), "{:?}", took(began));
        let began = tokio::time::Instant::now();
        let invocation = Deadline::after(Duration::from_secs(4));
        assert!(invocation.cover(keeper.current(at(1))).await.is_err());
        assert!(took(began) < Duration::from_secs(3), "time is left for the report: {:?}", took(began));
        let keeper = PolicyKeeper::start(Box::new(Slow(Duration::from_secs(3))), number, at(0)).await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(*keeper.current(at(60)).await.unwrap().policy, 1, "the last valid version stays in force");
        assert!(took(began) < Duration::from_secs(3), "{:?}", took(began));
    }
}
