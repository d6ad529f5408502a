//! The handler over in-memory ports that issue real certificates.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod crashes;
mod leaves;
mod rollover;
mod shop;
mod triggers;
