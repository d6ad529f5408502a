//! Both functions over in-memory ports: every message of AWS Config, every repair, every hold; killed at every call,
//! failing at every call, and with two writers at once.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod shop;
mod stored;

mod answers;
mod bursts;
mod disturbed;
mod egress;
mod failures;
mod notifications;
mod partly;
mod policy;
mod previous;
mod queue;
mod tags;
