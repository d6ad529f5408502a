//! What strangers, callers and proxies do to make the process hold more than it should, through sockets at the built
//! command. `ATTACK_ROUNDS` multiplies what is sent; `cargo xtask attack` sets it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that meets the unexpected has failed, also where it is not in the test function itself; figures are printed"
)]

mod plane;
mod sts;

// The client side of ADS, as the tests of the ADS server have it.
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
mod trust;
