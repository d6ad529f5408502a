//! The ADS server as Envoys see it, and what it tells of them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected has failed, also where it is not in the test function itself"
)]

mod certificates;
mod envoy;
mod plane;
mod vault;

mod admission;
mod counts;
mod deletion;
mod instances;
mod keeper;
mod listeners;
mod many;
mod mixed;
mod mtls;
mod process;
mod pushes;
mod reports;
mod sds;
mod secrets;
mod sockets;
