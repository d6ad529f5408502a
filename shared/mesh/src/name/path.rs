//! The path of a resource, without region or account.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    GatewayRouteName, MeshName, NameError, RouteName, VirtualGatewayName, VirtualNodeName, VirtualRouterName,
    VirtualServiceName,
};

/// The seven kinds of resource, written as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ResourceKind {
    /// A mesh.
    Mesh,
    /// A virtual node.
    VirtualNode,
    /// A virtual gateway.
    VirtualGateway,
    /// A virtual router.
    VirtualRouter,
    /// A route of a virtual router.
    Route,
    /// A virtual service.
    VirtualService,
    /// A gateway route of a virtual gateway.
    GatewayRoute,
}

impl ResourceKind {
    /// Every kind, parents before their children.
    pub const ALL: [Self; 7] = [
        Self::Mesh,
        Self::VirtualNode,
        Self::VirtualGateway,
        Self::VirtualRouter,
        Self::Route,
        Self::VirtualService,
        Self::GatewayRoute,
    ];

    /// The kind in the form of ARNs and member names, for example `virtualNode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::VirtualNode => "virtualNode",
            Self::VirtualGateway => "virtualGateway",
            Self::VirtualRouter => "virtualRouter",
            Self::Route => "route",
            Self::VirtualService => "virtualService",
            Self::GatewayRoute => "gatewayRoute",
        }
    }

    /// The kind as words, for example `virtual node`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::VirtualNode => "virtual node",
            Self::VirtualGateway => "virtual gateway",
            Self::VirtualRouter => "virtual router",
            Self::Route => "route",
            Self::VirtualService => "virtual service",
            Self::GatewayRoute => "gateway route",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ResourceKind {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| PathError::Shape { given: text.to_owned() })
    }
}

/// The id of a route: its name with the names of its parents. Displayed and parsed as `mesh/router/route`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteId {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual router in the mesh.
    pub router: VirtualRouterName,
    /// The route in the virtual router.
    pub route: RouteName,
}

impl RouteId {
    /// Creates an id from the names.
    #[must_use]
    pub const fn new(mesh: MeshName, router: VirtualRouterName, route: RouteName) -> Self {
        Self { mesh, router, route }
    }

    /// Parses `mesh/router/route`.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [mesh, router, route] => {
                Ok(Self::new(MeshName::parse(mesh)?, VirtualRouterName::parse(router)?, RouteName::parse(route)?))
            }
            _ => Err(PathError::RouteId { given: text.to_owned() }),
        }
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.mesh, self.router, self.route)
    }
}

impl FromStr for RouteId {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for RouteId {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<RouteId> for String {
    fn from(id: RouteId) -> Self {
        id.to_string()
    }
}

/// The kind and the names of a resource, as in its ARN after the account: `mesh/shop/virtualRouter/orders/route/all`. A
/// resource has the same path before and after its deployment, in every region and account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ResourcePath {
    /// A mesh.
    Mesh(MeshName),
    /// A virtual node of a mesh.
    VirtualNode(MeshName, VirtualNodeName),
    /// A virtual gateway of a mesh.
    VirtualGateway(MeshName, VirtualGatewayName),
    /// A virtual router of a mesh.
    VirtualRouter(MeshName, VirtualRouterName),
    /// A route of a virtual router.
    Route(RouteId),
    /// A virtual service of a mesh.
    VirtualService(MeshName, VirtualServiceName),
    /// A gateway route of a virtual gateway.
    GatewayRoute(MeshName, VirtualGatewayName, GatewayRouteName),
}

impl ResourcePath {
    /// Parses a path in the form of [`fmt::Display`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let unreadable = || PathError::Shape { given: text.to_owned() };
        let rest = text.strip_prefix("mesh/").ok_or_else(unreadable)?;
        let Some((mesh, rest)) = rest.split_once('/') else {
            return Ok(Self::Mesh(MeshName::parse(rest)?));
        };
        let mesh = MeshName::parse(mesh)?;
        let (kind, rest) = rest.split_once('/').ok_or_else(unreadable)?;
        if kind == ResourceKind::VirtualService.as_str() {
            // Only this name may contain slashes, and it is always the last.
            return Ok(Self::VirtualService(mesh, VirtualServiceName::parse(rest)?));
        }
        match (kind, rest.split('/').collect::<Vec<_>>().as_slice()) {
            ("virtualNode", [node]) => Ok(Self::VirtualNode(mesh, VirtualNodeName::parse(node)?)),
            ("virtualGateway", [gateway]) => Ok(Self::VirtualGateway(mesh, VirtualGatewayName::parse(gateway)?)),
            ("virtualRouter", [router]) => Ok(Self::VirtualRouter(mesh, VirtualRouterName::parse(router)?)),
            ("virtualRouter", [router, "route", route]) => {
                Ok(Self::Route(RouteId::new(mesh, VirtualRouterName::parse(router)?, RouteName::parse(route)?)))
            }
            ("virtualGateway", [gateway, "gatewayRoute", route]) => {
                Ok(Self::GatewayRoute(mesh, VirtualGatewayName::parse(gateway)?, GatewayRouteName::parse(route)?))
            }
            _ => Err(unreadable()),
        }
    }

    /// The kind of the resource.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::Mesh(_) => ResourceKind::Mesh,
            Self::VirtualNode(..) => ResourceKind::VirtualNode,
            Self::VirtualGateway(..) => ResourceKind::VirtualGateway,
            Self::VirtualRouter(..) => ResourceKind::VirtualRouter,
            Self::Route(_) => ResourceKind::Route,
            Self::VirtualService(..) => ResourceKind::VirtualService,
            Self::GatewayRoute(..) => ResourceKind::GatewayRoute,
        }
    }

    /// The mesh itself, or the mesh of the resource.
    #[must_use]
    pub const fn mesh(&self) -> &MeshName {
        match self {
            Self::Mesh(mesh)
            | Self::VirtualNode(mesh, _)
            | Self::VirtualGateway(mesh, _)
            | Self::VirtualRouter(mesh, _)
            | Self::VirtualService(mesh, _)
            | Self::GatewayRoute(mesh, _, _) => mesh,
            Self::Route(id) => &id.mesh,
        }
    }

    /// The same path, sharing the allocation of the mesh's name if it is equal.
    #[must_use]
    pub fn sharing(mut self, name: &MeshName) -> Self {
        let own = match &mut self {
            Self::Mesh(mesh)
            | Self::VirtualNode(mesh, _)
            | Self::VirtualGateway(mesh, _)
            | Self::VirtualRouter(mesh, _)
            | Self::VirtualService(mesh, _)
            | Self::GatewayRoute(mesh, _, _) => mesh,
            Self::Route(id) => &mut id.mesh,
        };
        if own == name {
            own.clone_from(name);
        }
        self
    }

    /// The resource's own name, the last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Mesh(mesh) => mesh.as_str(),
            Self::VirtualNode(_, name) => name.as_str(),
            Self::VirtualGateway(_, name) => name.as_str(),
            Self::VirtualRouter(_, name) => name.as_str(),
            Self::Route(id) => id.route.as_str(),
            Self::VirtualService(_, name) => name.as_str(),
            Self::GatewayRoute(_, _, name) => name.as_str(),
        }
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mesh/{}", self.mesh())?;
        match self {
            Self::Mesh(_) => Ok(()),
            Self::VirtualNode(_, name) => write!(f, "/virtualNode/{name}"),
            Self::VirtualGateway(_, name) => write!(f, "/virtualGateway/{name}"),
            Self::VirtualRouter(_, name) => write!(f, "/virtualRouter/{name}"),
            Self::Route(RouteId { mesh: _, router, route }) => write!(f, "/virtualRouter/{router}/route/{route}"),
            Self::VirtualService(_, name) => write!(f, "/virtualService/{name}"),
            Self::GatewayRoute(_, gateway, name) => {
                write!(f, "/virtualGateway/{gateway}/gatewayRoute/{name}")
            }
        }
    }
}

impl FromStr for ResourcePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ResourcePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<ResourcePath> for String {
    fn from(path: ResourcePath) -> Self {
        path.to_string()
    }
}

impl From<RouteId> for ResourcePath {
    fn from(id: RouteId) -> Self {
        Self::Route(id)
    }
}

/// The reason why a text is not a resource path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// The text does not have the parts of a path.
    #[error("invalid resource path `{given}`: expected one like `mesh/shop/virtualNode/orders`")]
    Shape {
        /// The text.
        given: String,
    },
    /// The text is not three names.
    #[error("invalid route id `{given}`: expected `mesh/router/route`")]
    RouteId {
        /// The text.
        given: String,
    },
    /// A part of it is not a valid name.
    #[error(transparent)]
    Name(#[from] NameError),
}
