//! Collections: the resources of one kind under one parent, as in the API's URIs.

use std::fmt;

use mesh::name::{
    GatewayRouteName, MeshName, NameError, ResourceKind, ResourcePath, RouteId, RouteName, VirtualGatewayName,
    VirtualNodeName, VirtualRouterName, VirtualServiceName,
};

/// A collection, in which resources are created and listed. Besides the mesh model, this is the only type that
/// distinguishes the seven kinds by their parents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// The meshes of the account.
    Meshes,
    /// The virtual nodes of a mesh.
    VirtualNodes(MeshName),
    /// The virtual gateways of a mesh.
    VirtualGateways(MeshName),
    /// The virtual routers of a mesh.
    VirtualRouters(MeshName),
    /// The virtual services of a mesh.
    VirtualServices(MeshName),
    /// The routes of a virtual router.
    Routes(MeshName, VirtualRouterName),
    /// The gateway routes of a virtual gateway.
    GatewayRoutes(MeshName, VirtualGatewayName),
}

impl Collection {
    /// The collection of a resource.
    #[must_use]
    pub fn containing(path: &ResourcePath) -> Self {
        match path {
            ResourcePath::Mesh(_) => Self::Meshes,
            ResourcePath::VirtualNode(mesh, _) => Self::VirtualNodes(mesh.clone()),
            ResourcePath::VirtualGateway(mesh, _) => Self::VirtualGateways(mesh.clone()),
            ResourcePath::VirtualRouter(mesh, _) => Self::VirtualRouters(mesh.clone()),
            ResourcePath::VirtualService(mesh, _) => Self::VirtualServices(mesh.clone()),
            ResourcePath::Route(id) => Self::Routes(id.mesh.clone(), id.router.clone()),
            ResourcePath::GatewayRoute(mesh, gateway, _) => Self::GatewayRoutes(mesh.clone(), gateway.clone()),
        }
    }

    /// The collection of a router's routes or of a gateway's gateway routes; `None` for other kinds.
    #[must_use]
    pub fn under(path: &ResourcePath) -> Option<Self> {
        match path {
            ResourcePath::VirtualRouter(mesh, router) => Some(Self::Routes(mesh.clone(), router.clone())),
            ResourcePath::VirtualGateway(mesh, gateway) => Some(Self::GatewayRoutes(mesh.clone(), gateway.clone())),
            ResourcePath::Mesh(_)
            | ResourcePath::VirtualNode(..)
            | ResourcePath::VirtualService(..)
            | ResourcePath::Route(_)
            | ResourcePath::GatewayRoute(..) => None,
        }
    }

    /// The kind of its resources.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::Meshes => ResourceKind::Mesh,
            Self::VirtualNodes(_) => ResourceKind::VirtualNode,
            Self::VirtualGateways(_) => ResourceKind::VirtualGateway,
            Self::VirtualRouters(_) => ResourceKind::VirtualRouter,
            Self::VirtualServices(_) => ResourceKind::VirtualService,
            Self::Routes(..) => ResourceKind::Route,
            Self::GatewayRoutes(..) => ResourceKind::GatewayRoute,
        }
    }

    /// The mesh of the collection; `None` for the collection of meshes.
    #[must_use]
    pub const fn mesh(&self) -> Option<&MeshName> {
        match self {
            Self::Meshes => None,
            Self::VirtualNodes(mesh)
            | Self::VirtualGateways(mesh)
            | Self::VirtualRouters(mesh)
            | Self::VirtualServices(mesh)
            | Self::Routes(mesh, _)
            | Self::GatewayRoutes(mesh, _) => Some(mesh),
        }
    }

    /// The parent, which has to exist for the collection to exist; `None` for the collection of meshes.
    #[must_use]
    pub fn parent(&self) -> Option<ResourcePath> {
        match self {
            Self::Meshes => None,
            Self::VirtualNodes(mesh)
            | Self::VirtualGateways(mesh)
            | Self::VirtualRouters(mesh)
            | Self::VirtualServices(mesh) => Some(ResourcePath::Mesh(mesh.clone())),
            Self::Routes(mesh, router) => Some(ResourcePath::VirtualRouter(mesh.clone(), router.clone())),
            Self::GatewayRoutes(mesh, gateway) => Some(ResourcePath::VirtualGateway(mesh.clone(), gateway.clone())),
        }
    }

    /// The path of a resource of that name, whether it exists or not.
    pub fn member(&self, name: &str) -> Result<ResourcePath, NameError> {
        Ok(match self {
            Self::Meshes => ResourcePath::Mesh(MeshName::parse(name)?),
            Self::VirtualNodes(mesh) => ResourcePath::VirtualNode(mesh.clone(), VirtualNodeName::parse(name)?),
            Self::VirtualGateways(mesh) => ResourcePath::VirtualGateway(mesh.clone(), VirtualGatewayName::parse(name)?),
            Self::VirtualRouters(mesh) => ResourcePath::VirtualRouter(mesh.clone(), VirtualRouterName::parse(name)?),
            Self::VirtualServices(mesh) => ResourcePath::VirtualService(mesh.clone(), VirtualServiceName::parse(name)?),
            Self::Routes(mesh, router) => {
                ResourcePath::Route(RouteId::new(mesh.clone(), router.clone(), RouteName::parse(name)?))
            }
            Self::GatewayRoutes(mesh, gateway) => {
                ResourcePath::GatewayRoute(mesh.clone(), gateway.clone(), GatewayRouteName::parse(name)?)
            }
        })
    }
}

impl fmt::Display for Collection {
    /// The kind and the parent in words: `routes of mesh/shop/virtualRouter/orders`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind().words(), self.parent()) {
            ("mesh", _) => f.write_str("meshes"),
            (kind, Some(parent)) => write!(f, "{kind}s of {parent}"),
            (kind, None) => write!(f, "{kind}s"),
        }
    }
}
