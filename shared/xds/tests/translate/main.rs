//! Translations of meshes into Envoy resources: goldens, tables and properties.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "goldens and the corpus are files, and a skipped test says so"
)]

mod accepted;
mod batch;
mod case;
mod corpus;
mod envoy;
mod findings;
mod goldens;
mod meshes;
mod odd;
mod odd_names;
mod ports;
mod printed;
mod redirected;
mod routes;
mod secrets;
mod shop;
mod sound;
