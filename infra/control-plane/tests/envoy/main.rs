//! End to end with real Envoys: what a mesh says, requests do.
//!
//! ```text
//!   test ──▶ client's Envoy (an egress port a backend) ──▶ server's Envoy (ingress) ──▶ application in the test
//!                     ▲                                          ▲
//!                     └────────── ADS ── control-plane ──────────┘
//! ```
//!
//! Envoy comes from the pinned Python package; where it isn't installed, each test says so and passes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    reason = "a test fails by panicking"
)]

mod application;
mod certificates;
mod corpus;
mod disappearing;
mod dns;
mod gateway;
mod instances;
mod load;
mod mesh_of;
mod partition;
mod proxy;
mod random_writes;
mod resilience;
mod restart;
mod rollover;
mod routing;
mod stage;
mod statistics;
mod tls;
mod trust;
#[path = "../xds/vault.rs"]
mod vault;
mod websocket;
