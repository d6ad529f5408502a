//! The mesh itself.

use super::IpPreference;
use crate::spec::shapes::{structure, words};

structure! {
    /// The spec of a mesh.
    pub struct MeshSpec {
        /// What leaves the mesh.
        "egressFilter" => egress_filter: Option<EgressFilter>,
        /// How hosts are resolved.
        "serviceDiscovery" => service_discovery: Option<MeshServiceDiscovery>,
    }
}

structure! {
    /// What leaves the mesh; `DROP_ALL` when absent.
    pub struct EgressFilter {
        /// All or nothing.
        "type" => filter: EgressFilterType,
    }
}

words! {
    /// What leaves the mesh, besides `*.amazonaws.com`.
    pub enum EgressFilterType {
        /// Everything.
        "ALLOW_ALL" => AllowAll,
        /// Only what a virtual node names as backend.
        "DROP_ALL" => DropAll,
    }
}

structure! {
    /// How hosts are resolved, unless a virtual node says otherwise.
    pub struct MeshServiceDiscovery {
        /// Which addresses.
        "ipPreference" => ip_preference: Option<IpPreference>,
    }
}
