//! Sweeps over in-memory ports: what is found, told and kept, and what becomes of it when something goes wrong.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod certificates;
mod failures;
mod gone;
mod history;
mod partly;
mod previous;
mod queue;
mod repeated;
mod security_hub;
mod told;
mod world;
