use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Deadline;
}

/// The instant by which an invocation must have ended, a reserve for the report already taken off.
///
/// It travels with the task: whoever starts the work calls [`Deadline::cover`], and every adapter caps each call by
/// [`Deadline::remaining`]. A task spawned from there does not inherit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline this far from now.
    #[must_use]
    pub fn after(left: Duration) -> Self {
        Self(Instant::now() + left)
    }

    /// How much time is left; zero once it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Runs `work` under this deadline.
    pub async fn cover<F: Future>(self, work: F) -> F::Output {
        DEADLINE.scope(self, work).await
    }

    /// How much time the running task has left; `None` where nobody set a deadline.
    #[must_use]
    pub fn remaining() -> Option<Duration> {
        DEADLINE.try_with(|deadline| deadline.left()).ok()
    }
}
