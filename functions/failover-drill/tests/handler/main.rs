//! The function over in-memory ports: a whole drill, its commands, and a kill at every call.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod commands;
mod crashes;
mod faults;
mod lifecycle;
mod samples;
mod shop;
