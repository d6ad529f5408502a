//! The API as an HTTP client uses it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, also in its helper functions"
)]

mod client;
#[path = "../../../../shared/mesh/tests/refusals/mod.rs"]
mod examples;
mod fixture;

mod admission;
mod changes;
mod concurrency;
mod cross_resource;
mod durability;
mod events;
mod lifecycle;
mod metrics;
mod operations;
mod pagination;
mod process;
mod protocol;
mod quotas;
mod refusals;
mod rights;
mod specs;
mod storage;
mod tags;
mod tls;
mod tokens;
mod versions;
