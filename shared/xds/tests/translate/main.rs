//! Meshes as Envoy resources: goldens, tables and properties.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "goldens and the corpus are files, and a skipped test says so"
)]
#![expect(
    clippy::expect_used,
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod case;
mod corpus;
mod goldens;
mod meshes;
mod printed;
mod taken;
