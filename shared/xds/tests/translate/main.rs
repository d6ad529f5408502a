//! Meshes as Envoy resources: goldens, tables and properties.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "goldens and the corpus are files, and a skipped test says so"
)]

mod case;
mod corpus;
mod goldens;
mod meshes;
mod odd;
mod ports;
mod printed;
mod secrets;
mod sound;
mod taken;
