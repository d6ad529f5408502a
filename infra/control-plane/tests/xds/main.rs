//! The ADS server as Envoys use it, and its reports.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, also in its helper functions"
)]

mod accounts;
mod certificates;
mod envoy;
mod plane;
mod tokens;
mod vault;

mod admission;
mod counts;
mod deletion;
mod gateways;
mod instances;
mod listeners;
mod many;
mod mixed;
mod mtls;
mod process;
mod pushes;
mod reports;
mod sds;
mod secret_cache;
mod secrets;
mod sockets;
