//! End-to-end tests with real Envoys: requests behave as the mesh specifies.
//!
//! ```text
//!   test ──▶ client's Envoy (an egress port per backend) ──▶ server's Envoy (ingress) ──▶ application in the test
//!                     ▲                                            ▲
//!                     └────────── ADS ─── control-plane ───────────┘
//! ```
//!
//! Envoy comes from the pinned Python package; without it, each test is skipped with a message.

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
mod node_tokens;
mod partition;
mod providers;
mod proxy;
mod random_writes;
mod redirect;
mod resilience;
mod restart;
mod rollover;
mod routing;
mod specs;
mod stage;
mod statistics;
mod tls;
mod trust;
#[path = "../xds/vault.rs"]
mod vault;
mod websocket;
