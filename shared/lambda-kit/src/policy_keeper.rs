//! Caches the policy in force, and checks for a new version every minute.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ports::{PolicySource, PortError};
use tokio::sync::Mutex;

/// The interval at which a warm function checks for a new version. A shorter one costs calls; with a longer one,
/// operators wait for their own changes.
pub const LOOK_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The last valid policy, and the error of the newest version if that is invalid.
pub struct PolicyKeeper<P, E> {
    source: Box<dyn PolicySource>,
    parse: fn(&str) -> Result<P, E>,
    kept: Mutex<Kept<P>>,
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

/// Why no policy could be loaded at start, in one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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

impl<P, E: fmt::Display> PolicyKeeper<P, E> {
    /// Loads the first version. An invalid one never falls back to a default.
    pub async fn start(
        source: Box<dyn PolicySource>,
        parse: fn(&str) -> Result<P, E>,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        let text = source.read().await.map_err(StartError::Unreadable)?;
        let policy = parse(&text).map_err(|error| StartError::Broken { why: one_line(&error) })?;
        let kept = Kept { policy: Arc::new(policy), text, rejected: None, looked: now };
        Ok(Self { source, parse, kept: Mutex::new(kept) })
    }

    /// The policy as of `now`. After a minute the source is read again. If the new version is invalid or the source
    /// cannot be read, the last valid version stays in force.
    pub async fn current(&self, now: Timestamp) -> Current<P> {
        let mut kept = self.kept.lock().await;
        if now.duration_since(kept.looked) >= LOOK_AGAIN_AFTER {
            kept.looked = now;
            match self.source.read().await {
                Ok(text) => kept.take(text, self.parse),
                Err(error) => tracing::warn!(%error, "the policy can't be read just now; the last good version rules"),
            }
        }
        let rejected = kept.rejected.as_ref().map(|rejected| rejected.why.clone());
        if let Some(why) = &rejected {
            tracing::error!(why, "the newest policy is broken; the last good version rules");
        }
        Current { policy: Arc::clone(&kept.policy), rejected }
    }
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
    use ports::memory::{Effect, Failure, Fault, Faults, MemoryPolicy};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| format!("line 1:\n  `{text}` is no number"))
    }

    async fn keeper(text: &str) -> (MemoryPolicy, Faults, Result<PolicyKeeper<u32, String>, StartError>) {
        let faults = Faults::default();
        let source = MemoryPolicy::new(text, faults.clone());
        let keeper = PolicyKeeper::start(Box::new(source.clone()), number, at(0)).await;
        (source, faults, keeper)
    }

    #[tokio::test]
    async fn a_broken_first_version_is_an_error_of_one_line() {
        let (_, _, keeper) = keeper("one").await;
        assert_eq!(keeper.unwrap_err().to_string(), "failed to load the policy: line 1:; `one` is no number");
    }

    #[tokio::test]
    async fn a_new_version_is_seen_after_a_minute_and_not_before() {
        let (source, faults, keeper) = keeper("1").await;
        let keeper = keeper.unwrap();
        source.set("2");
        assert_eq!(*keeper.current(at(59)).await.policy, 1);
        assert_eq!(faults.calls().len(), 1);
        assert_eq!(*keeper.current(at(60)).await.policy, 2);
        assert_eq!(*keeper.current(at(61)).await.policy, 2);
        assert_eq!(faults.calls().len(), 2);
    }

    #[tokio::test]
    async fn a_broken_new_version_keeps_the_last_good_one_and_says_so_each_time() {
        let (source, _, keeper) = keeper("1").await;
        let keeper = keeper.unwrap();
        source.set("two");
        for now in [60, 61, 200] {
            let current = keeper.current(at(now)).await;
            assert_eq!(*current.policy, 1);
            assert_eq!(current.rejected.as_deref(), Some("line 1:; `two` is no number"));
        }
        source.set("1");
        assert_eq!(keeper.current(at(300)).await.rejected, None);
        source.set("3");
        let current = keeper.current(at(400)).await;
        assert_eq!((*current.policy, current.rejected), (3, None));
    }

    #[tokio::test]
    async fn a_source_that_fails_keeps_what_was_known() {
        let (source, faults, keeper) = keeper("1").await;
        let keeper = keeper.unwrap();
        source.set("2");
        faults.whenever(|_| true, Fault::Fails(Failure::Unavailable, Effect::NotDone));
        let current = keeper.current(at(60)).await;
        assert_eq!((*current.policy, current.rejected), (1, None));
        faults.reset();
        assert_eq!(*keeper.current(at(120)).await.policy, 2);
    }
}
