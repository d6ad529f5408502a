//! Audits over in-memory ports: each event is reported once, despite faults.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod disturbed;
mod notifications;
mod previous;
mod reading;
mod shop;
mod unread;
