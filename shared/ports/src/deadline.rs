use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

/// The time by which a lease outlasts the deadline of its holder. It covers the reserve for the report, the time until
/// Lambda ends a process that ran out of time, and clock skew.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// The maximum duration of an invocation on Lambda.
const LONGEST_INVOCATION: SignedDuration = SignedDuration::from_mins(15);

tokio::task_local! {
    static DEADLINE: Deadline;
}

/// The time by which an invocation must have ended, already reduced by a reserve for the report.
///
/// It is task-local: the caller that starts the work uses [`Deadline::cover`], and every adapter limits each call by
/// [`Deadline::remaining`]. A spawned task does not inherit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline this far from now.
    #[must_use]
    pub fn after(left: Duration) -> Self {
        Self(Instant::now() + left)
    }

    /// The remaining time; zero after the deadline.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Runs `work` under this deadline.
    pub async fn cover<F: Future>(self, work: F) -> F::Output {
        DEADLINE.scope(self, work).await
    }

    /// The duration of a lease that outlasts the running task, so that no second holder writes while this one can still
    /// write. Without a deadline it outlasts the longest invocation on Lambda.
    #[must_use]
    pub fn lease() -> SignedDuration {
        let left = Self::remaining().map_or(LONGEST_INVOCATION, |left| {
            SignedDuration::try_from(left).map_or(LONGEST_INVOCATION, |left| left.min(LONGEST_INVOCATION))
        });
        left.saturating_add(LEASE_MARGIN)
    }

    /// The remaining time of the running task; `None` without a deadline.
    #[must_use]
    pub fn remaining() -> Option<Duration> {
        DEADLINE.try_with(|deadline| deadline.left()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lease_outlasts_the_deadline_of_its_holder() {
        for seconds in [0, 1, 30, 120, 900] {
            let left = Duration::from_secs(seconds);
            let lease = Deadline::after(left).cover(async { Deadline::lease() }).await;
            assert_eq!(lease, SignedDuration::try_from(left).unwrap() + LEASE_MARGIN);
        }
        let unlimited = Deadline::after(Duration::from_hours(24)).cover(async { Deadline::lease() }).await;
        assert_eq!(unlimited, LONGEST_INVOCATION + LEASE_MARGIN);
        assert_eq!(Deadline::lease(), LONGEST_INVOCATION + LEASE_MARGIN);
    }
}
