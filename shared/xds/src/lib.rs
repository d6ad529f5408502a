//! The mesh model as Envoy resources, and the ADS stream as a state machine: pure, no I/O, no clock.
//!
//! ```text
//!   graph::Mesh, Proxy ──▶ translate ──▶ resources, secrets that they name, findings
//!                                            │
//!   secret material ────────────────────▶ Snapshot ──▶ ads: requests, ACKs, NACKs in; responses out
//! ```
//!
//! Envoy's words (cluster, endpoint, listener, snapshot, nonce, ACK, NACK) live here and in the control plane, and
//! nowhere else.
//!
//! This crate never emits what Envoy refuses: that is left out, and a [`Finding`] says so. It never reads a clock, a
//! file or the network, and never shows a private key in `Debug` output.

pub mod ads;
pub mod ports;
mod proxy;
mod resource;
mod secret;
mod snapshot;
mod translate;

pub use mesh::validate::envoy::LARGEST_EXPRESSION;
pub use proxy::{Proxy, ProxyError, ProxyId};
pub use resource::{Resource, ResourceType, Version};
pub use secret::{SecretMaterial, SecretRef};
pub use snapshot::Snapshot;
pub use translate::{
    ClientAddress, Discovered, Finding, Instance, Listeners, SdsSource, SecretFrom, SecretRole, SecretUse, StatNames,
    Surroundings, Translation, finding, translate,
};
