//! Tables over routes and findings, and a property: nothing that is sent names what is not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking"
)]

mod findings;
mod routes;
mod shop;
mod whole;
