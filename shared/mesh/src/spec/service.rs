//! Virtual services, and virtual routers that split their requests.

use super::listener::RouterListener;
use crate::name::{VirtualNodeName, VirtualRouterName};
use crate::spec::shapes::{structure, union};

structure! {
    /// The spec of a virtual service. `{}` is valid: a name without a provider.
    pub struct VirtualServiceSpec {
        /// The provider.
        "provider" => provider: Option<VirtualServiceProvider>,
    }
}

union! {
    /// The provider of a virtual service.
    pub enum VirtualServiceProvider {
        /// A virtual node.
        "virtualNode" => VirtualNode(VirtualNodeProvider),
        /// A virtual router with routes.
        "virtualRouter" => VirtualRouter(VirtualRouterProvider),
    }
}

impl VirtualServiceProvider {
    /// The virtual node that is the provider.
    #[must_use]
    pub const fn node(&self) -> Option<&VirtualNodeName> {
        match self {
            Self::VirtualNode(provider) => Some(&provider.virtual_node_name),
            Self::VirtualRouter(_) | Self::Unrecognised(_) => None,
        }
    }

    /// The virtual router that is the provider.
    #[must_use]
    pub const fn router(&self) -> Option<&VirtualRouterName> {
        match self {
            Self::VirtualRouter(provider) => Some(&provider.virtual_router_name),
            Self::VirtualNode(_) | Self::Unrecognised(_) => None,
        }
    }
}

structure! {
    /// A virtual node as provider of a virtual service.
    pub struct VirtualNodeProvider {
        /// Its name.
        "virtualNodeName" => virtual_node_name: VirtualNodeName,
    }
}

structure! {
    /// A virtual router as provider of a virtual service.
    pub struct VirtualRouterProvider {
        /// Its name.
        "virtualRouterName" => virtual_router_name: VirtualRouterName,
    }
}

structure! {
    /// The spec of a virtual router.
    pub struct VirtualRouterSpec {
        /// The listeners that clients call.
        "listeners" => listeners: Option<Vec<RouterListener>>,
    }
}

impl VirtualRouterSpec {
    /// The listeners, empty if the member is absent.
    #[must_use]
    pub fn listeners(&self) -> &[RouterListener] {
        self.listeners.as_deref().unwrap_or_default()
    }
}
