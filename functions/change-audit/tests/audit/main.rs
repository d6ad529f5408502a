//! Audits over in-memory ports: what is told of each event, once, whatever goes wrong in between.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod disturbed;
mod previous;
mod reading;
mod told;
mod unread;
mod world;
