//! Virtual services and virtual routers: what clients call and what spreads the calls.

use super::listener::RouterListener;
use crate::name::{VirtualNodeName, VirtualRouterName};
use crate::spec::shapes::{structure, union};

structure! {
    /// The spec of a virtual service. `{}` is a valid one: a name that nothing answers.
    pub struct VirtualServiceSpec {
        /// What answers.
        "provider" => provider: Option<VirtualServiceProvider>,
    }
}

union! {
    /// What answers for a virtual service.
    pub enum VirtualServiceProvider {
        /// A virtual node, directly.
        "virtualNode" => VirtualNode(VirtualNodeProvider),
        /// A virtual router, by its routes.
        "virtualRouter" => VirtualRouter(VirtualRouterProvider),
    }
}

impl VirtualServiceProvider {
    /// The virtual node that answers directly.
    #[must_use]
    pub const fn node(&self) -> Option<&VirtualNodeName> {
        match self {
            Self::VirtualNode(provider) => Some(&provider.virtual_node_name),
            Self::VirtualRouter(_) | Self::Unrecognised(_) => None,
        }
    }

    /// The virtual router that answers.
    #[must_use]
    pub const fn router(&self) -> Option<&VirtualRouterName> {
        match self {
            Self::VirtualRouter(provider) => Some(&provider.virtual_router_name),
            Self::VirtualNode(_) | Self::Unrecognised(_) => None,
        }
    }
}

structure! {
    /// A virtual node that answers for a virtual service.
    pub struct VirtualNodeProvider {
        /// Its name.
        "virtualNodeName" => virtual_node_name: VirtualNodeName,
    }
}

structure! {
    /// A virtual router that answers for a virtual service.
    pub struct VirtualRouterProvider {
        /// Its name.
        "virtualRouterName" => virtual_router_name: VirtualRouterName,
    }
}

structure! {
    /// The spec of a virtual router.
    pub struct VirtualRouterSpec {
        /// What clients call on.
        "listeners" => listeners: Option<Vec<RouterListener>>,
    }
}

impl VirtualRouterSpec {
    /// The listeners, none when the member is absent.
    #[must_use]
    pub fn listeners(&self) -> &[RouterListener] {
        self.listeners.as_deref().unwrap_or_default()
    }
}
