//! The mesh itself.

use super::IpPreference;
use crate::spec::shapes::{structure, words};

structure! {
    /// The spec of a mesh.
    pub struct MeshSpec {
        /// The egress filter.
        "egressFilter" => egress_filter: Option<EgressFilter>,
        /// The mesh-wide service discovery settings.
        "serviceDiscovery" => service_discovery: Option<MeshServiceDiscovery>,
    }
}

structure! {
    /// The egress filter; `DROP_ALL` if absent.
    pub struct EgressFilter {
        /// The type of the filter.
        "type" => filter: EgressFilterType,
    }
}

words! {
    /// The permitted egress, in addition to `*.amazonaws.com`.
    pub enum EgressFilterType {
        /// All destinations.
        "ALLOW_ALL" => AllowAll,
        /// Only the backends of a virtual node.
        "DROP_ALL" => DropAll,
    }
}

structure! {
    /// The service discovery settings of all virtual nodes without their own.
    pub struct MeshServiceDiscovery {
        /// The preferred IP version.
        "ipPreference" => ip_preference: Option<IpPreference>,
    }
}
