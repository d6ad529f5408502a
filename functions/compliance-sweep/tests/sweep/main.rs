//! Sweeps over in-memory ports: findings, notifications and reports, also after faults.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod certificates;
mod deleted;
mod failures;
mod history;
mod partly;
mod previous;
mod queue;
mod repeated;
mod reports;
mod security_hub;
mod shop;
