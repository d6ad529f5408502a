//! The handler over in-memory ports that issue real certificates.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod crashes;
mod journal;
mod leaves;
mod meshes;
mod patience;
mod previous;
mod probes;
mod rollover;
mod secrecy;
mod shop;
mod standstill;
mod triggers;
mod twins;
mod unreadable_meshes;
mod writers;
