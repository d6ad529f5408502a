//! The state machine over a simulated mesh: every state, every edge, and random histories.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

mod commands;
mod edges;
mod gates;
mod hooks;
mod properties;
mod reasons;
mod starts;
