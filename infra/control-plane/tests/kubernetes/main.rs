//! The reconciliation with a Kubernetes cluster, against a simulated API server and a real control plane.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, also in its helper functions"
)]

mod app_mesh;
mod cluster;
mod crashes;
mod node_token;
mod reconciliation;
mod server;
mod webhooks;
