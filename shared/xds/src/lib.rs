//! The mesh model as Envoy resources, and the ADS stream as a state machine. The code is pure: no I/O, no clock.
//!
//! ```text
//!   graph::Mesh, Proxy ──▶ translate ──▶ resources, secrets that they name, findings
//!                                            │
//!   secret material ────────────────────▶ Snapshot ──▶ ads: requests, ACKs, NACKs in; responses out
//! ```
//!
//! Envoy's terms (cluster, endpoint, listener, snapshot, nonce, ACK, NACK) are used only here and in the control plane.
//!
//! This crate never emits a resource that Envoy refuses. It leaves the refused part out and reports a [`Finding`]. It
//! never reads a clock, a file or the network, and never shows a private key in `Debug` output.

pub mod ads;
mod port_book;
pub mod ports;
mod proto;
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
