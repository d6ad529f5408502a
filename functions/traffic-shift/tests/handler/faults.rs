//! Every class of fault at every call of a step and of a rollback: the rollout ends as without it.

use crate::crashes::every_fault;

#[tokio::test(start_paused = true)]
async fn step_with_every_fault_at_every_call() {
    every_fault(false).await;
}

#[tokio::test(start_paused = true)]
async fn rollback_with_every_fault_at_every_call() {
    every_fault(true).await;
}
