//! What becomes of a mesh: goldens, tables, and whatever the corpus holds.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking"
)]

mod findings;
mod goldens;
mod routes;
mod shop;
mod whole;
