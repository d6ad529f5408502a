//! The whole function over in-memory ports: its triggers, its states, killed and failing at every call.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod shop;

mod calls;
mod crashes;
mod faults;
mod journal;
mod rollouts;
mod samples;
mod triggers;
