//! Fail-over as a whole: a small world that decisions are applied to, recorded episodes, and invariants.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "episodes are files, recorded again on request; the crate itself has no I/O"
)]
#![expect(clippy::similar_names, reason = "a route has a router, an alarm a name and a state")]

mod episodes;
mod properties;
mod returns;
mod signals;
mod verdicts;
mod world;
