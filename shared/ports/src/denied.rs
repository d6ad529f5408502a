use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

tokio::task_local! {
    static DENIED: DeniedCalls;
}

/// Counts the calls of one invocation that a service denied because of a missing permission.
///
/// It is task-local like [`crate::Deadline`]: the runtime covers an invocation, and every adapter records denied calls.
/// The count reaches CloudWatch through the log, which needs no permission of the role.
#[derive(Clone, Debug, Default)]
pub struct DeniedCalls(Arc<AtomicU32>);

impl DeniedCalls {
    /// Runs `work`, and counts its denied calls here.
    pub async fn cover<F: Future>(&self, work: F) -> F::Output {
        DENIED.scope(self.clone(), work).await
    }

    /// Counts one denied call of the running task; has no effect outside an invocation.
    pub fn record() {
        // Outside an invocation, as in the command-line tool, nothing is counted.
        let _ = DENIED.try_with(|denied| denied.0.fetch_add(1, Ordering::Relaxed));
    }

    /// The number of denied calls so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
