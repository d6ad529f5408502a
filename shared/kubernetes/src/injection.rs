//! Sidecars: plain Envoy, its bootstrap and the redirect rules in a pod that a virtual node selects, and the bootstrap of a virtual
//! gateway's Envoy.
//!
//! ```text
//!   init: redirect (nftables) ──▶ init: token ──▶ init: bootstrap ──▶ sidecars: token renewal, Envoy ──▶ the pod's containers
//! ```
//!
//! The rules are `infra/deploy/sidecar/redirect.nft`; annotations only add exceptions. The rules and the CA of the control plane are in
//! annotations of the pod and become files through a downward API volume, so that no namespace needs a `ConfigMap`.
//! An annotation that is not supported refuses the pod: an ignored one would send traffic another way than its author expects.

mod annotations;
mod containers;
mod pod;
mod rules;
mod settings;

pub use pod::inject;
pub use rules::{REDIRECT_RULES, redirect_rules};
pub use settings::InjectionSettings;

#[cfg(test)]
mod tests;
