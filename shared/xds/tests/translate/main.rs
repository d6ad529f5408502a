//! What becomes of a mesh: goldens, tables, and whatever the corpus holds.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking"
)]
#![expect(clippy::disallowed_methods, reason = "goldens and the corpus are files; the crate itself touches none")]

mod findings;
mod goldens;
mod routes;
mod shop;
mod whole;
