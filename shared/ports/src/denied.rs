use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

tokio::task_local! {
    static DENIED: DeniedCalls;
}

/// Counts the calls of one invocation that a service refused because a permission is missing.
///
/// It travels with the task like [`crate::Deadline`]: the runtime covers an invocation, and every adapter records the
/// calls that are denied. The count reaches CloudWatch by the log, which needs no permission of the role.
#[derive(Clone, Debug, Default)]
pub struct DeniedCalls(Arc<AtomicU32>);

impl DeniedCalls {
    /// Runs `work`, whose denied calls are counted here.
    pub async fn cover<F: Future>(&self, work: F) -> F::Output {
        DENIED.scope(self.clone(), work).await
    }

    /// Counts one denied call of the running task; does nothing where no invocation is covered.
    pub fn record() {
        // Nothing is counted outside of an invocation, as in the command-line tool.
        let _ = DENIED.try_with(|denied| denied.0.fetch_add(1, Ordering::Relaxed));
    }

    /// How many calls were denied so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
