//! The node that a proof is about.

use mesh::name::{MeshName, VirtualNodeName};
use policy::AlarmDiscovery;

/// The node that a proof is about.
#[derive(Clone, Copy, Debug)]
pub struct ProofTarget<'a> {
    /// The mesh.
    pub mesh: &'a MeshName,
    /// The virtual node.
    pub node: &'a VirtualNodeName,
    /// The names of the dimensions that name meshes and nodes.
    pub discovery: &'a AlarmDiscovery,
}
