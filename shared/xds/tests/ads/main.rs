//! The ADS stream against a model of Envoy.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod conversations;
mod gateways;
mod idle_routes;
mod interleavings;
mod subscriptions;
mod synthetic;
