//! Attacks of unknown clients, callers and proxies on the memory and the files of the process, over sockets of the
//! built command. `ATTACK_ROUNDS` multiplies the load; `cargo xtask attack` sets it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, also in its helper functions; figures are printed"
)]

mod plane;
mod sts;

// The ADS client of the tests of the ADS server.
#[path = "../xds/certificates.rs"]
#[expect(dead_code, reason = "not all of it is used here")]
mod certificates;
#[path = "../xds/envoy.rs"]
#[expect(dead_code, reason = "not all of it is used here")]
mod envoy;

mod floods;
mod identities;
mod limits;
mod malformed;
mod proxies;
mod storage;
mod streams;
mod trust;
