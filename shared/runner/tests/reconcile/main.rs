//! The engine's loop, with a function that sets one tag on each resource: killed, failing, conflicted, throttled, out of
//! time.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod disturbed;
mod limits;
mod toy;
