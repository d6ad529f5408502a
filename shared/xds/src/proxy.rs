//! The identity that an Envoy reports.

use std::fmt;
use std::str::FromStr;

use mesh::name::{AccountId, Arn, MeshName, ResourcePath, VirtualGatewayName, VirtualNodeName};

/// The mesh resource that an Envoy represents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proxy {
    /// A virtual node: the Envoy is a sidecar of its application.
    Node(VirtualNodeName),
    /// A virtual gateway.
    Gateway(VirtualGatewayName),
}

/// A parsed Envoy node id. The App Mesh images send a full ARN or its short form `mesh/<mesh>/virtualNode/<node>`. The
/// Kubernetes controller appends `@<account>` to the name of a mesh that belongs to another account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyId {
    /// The mesh.
    pub mesh: MeshName,
    /// The owner of the mesh, if the id names one.
    pub owner: Option<AccountId>,
    /// The resource of the mesh that the Envoy represents.
    pub proxy: Proxy,
}

impl ProxyId {
    /// The path of the proxy's resource.
    #[must_use]
    pub fn path(&self) -> ResourcePath {
        match &self.proxy {
            Proxy::Node(name) => ResourcePath::VirtualNode(self.mesh.clone(), name.clone()),
            Proxy::Gateway(name) => ResourcePath::VirtualGateway(self.mesh.clone(), name.clone()),
        }
    }

    fn new(path: ResourcePath, owner: Option<AccountId>, id: &str) -> Result<Self, ProxyError> {
        match path {
            ResourcePath::VirtualNode(mesh, name) => Ok(Self { mesh, owner, proxy: Proxy::Node(name) }),
            ResourcePath::VirtualGateway(mesh, name) => Ok(Self { mesh, owner, proxy: Proxy::Gateway(name) }),
            ResourcePath::Mesh(_)
            | ResourcePath::VirtualService(..)
            | ResourcePath::VirtualRouter(..)
            | ResourcePath::Route(_)
            | ResourcePath::GatewayRoute(..) => Err(ProxyError { id: id.to_owned() }),
        }
    }
}

impl FromStr for ProxyId {
    type Err = ProxyError;

    fn from_str(id: &str) -> Result<Self, ProxyError> {
        let unknown = || ProxyError { id: id.to_owned() };
        if id.starts_with("arn:") {
            let arn = Arn::parse(id).map_err(|_| unknown())?;
            return Self::new(arn.path().clone(), Some(arn.account().clone()), id);
        }
        let mut parts = id.splitn(3, '/');
        let (Some("mesh"), Some(mesh), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(unknown());
        };
        let (mesh, owner) = match mesh.rsplit_once('@') {
            Some((mesh, owner)) => (mesh, Some(AccountId::parse(owner).map_err(|_| unknown())?)),
            None => (mesh, None),
        };
        let path = ResourcePath::parse(&format!("mesh/{mesh}/{rest}")).map_err(|_| unknown())?;
        Self::new(path, owner, id)
    }
}

/// The short form, with the owner if it is known.
impl fmt::Display for ProxyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mesh/{}", self.mesh)?;
        if let Some(owner) = &self.owner {
            write!(f, "@{owner}")?;
        }
        match &self.proxy {
            Proxy::Node(name) => write!(f, "/virtualNode/{name}"),
            Proxy::Gateway(name) => write!(f, "/virtualGateway/{name}"),
        }
    }
}

/// The error for a node id that names no virtual node or virtual gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid node id {id:?}: expected mesh/<mesh>/virtualNode/<name>, mesh/<mesh>/virtualGateway/<name>, or the ARN"
)]
pub struct ProxyError {
    id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_parse_in_both_forms_with_owner() {
        for (id, shown) in [
            ("mesh/shop/virtualNode/cart-v1", "mesh/shop/virtualNode/cart-v1"),
            ("mesh/shop/virtualGateway/web", "mesh/shop/virtualGateway/web"),
            ("mesh/shop@123456789012/virtualNode/cart-v1", "mesh/shop@123456789012/virtualNode/cart-v1"),
            (
                "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/cart-v1",
                "mesh/shop@123456789012/virtualNode/cart-v1",
            ),
        ] {
            assert_eq!(id.parse::<ProxyId>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn invalid_node_id_is_refused() {
        for id in [
            "",
            "cart-v1",
            "mesh/shop",
            "mesh/shop/virtualRouter/r",
            "mesh/shop/virtualNode/",
            "mesh/shop@12/virtualNode/a",
            "mesh/shop/virtualNode/a/b",
            "arn:aws:acm:eu-west-1:123456789012:certificate/1",
        ] {
            assert!(id.parse::<ProxyId>().is_err(), "{id}");
        }
    }
}
