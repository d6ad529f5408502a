//! The translation of a mesh into the Envoy resources of one proxy.

mod backends;
mod breakers;
mod clusters;
mod dangling;
mod draft;
pub mod finding;
mod gateway;
mod health;
mod listeners;
mod logs;
mod names;
mod node;
mod routes;
mod statistics;
mod surroundings;
mod tls;
mod translation;
mod uses;

use mesh::graph::Mesh;

use crate::proxy::Proxy;
use draft::Draft;

pub(crate) use crate::proto;
pub(crate) use backends::offers;
pub(crate) use gateway::bridge;
pub use statistics::StatNames;
pub use surroundings::{ClientAddress, Instance, Listeners, SdsSource, Surroundings};
pub use translation::{Discovered, Finding, Translation};
pub use uses::{SecretFrom, SecretRole, SecretUse};

/// Translates a mesh for one proxy. The translation is empty if the mesh has no resource for the proxy.
#[must_use]
pub fn translate(mesh: &Mesh, proxy: &Proxy, surroundings: Surroundings<'_>) -> Translation {
    let mut draft = Draft::new(mesh, proxy, surroundings);
    match proxy {
        Proxy::Node(name) => {
            if let Some((name, spec)) = mesh.nodes.get_key_value(name) {
                draft.node(name, spec);
            }
        }
        Proxy::Gateway(name) => {
            if let Some((name, gateway)) = mesh.gateways.get_key_value(name)
                && let Some(spec) = &gateway.spec
            {
                draft.gateway(name, spec);
            }
        }
    }
    draft.out.findings.sort();
    draft.out
}
