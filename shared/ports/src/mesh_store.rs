use std::collections::BTreeMap;

use async_trait::async_trait;
use mesh::name::{AccountId, MeshName, ResourceKind, ResourcePath, RouteId, VirtualGatewayName, VirtualNodeName};
use mesh::resource::{Resource, Tags};
use mesh::spec::{MeshSpec, RouteSpec, VirtualGatewaySpec, VirtualNodeSpec};

use crate::{PortError, PortErrorKind};

/// Reads meshes.
#[async_trait]
pub trait MeshReader: Send + Sync + std::fmt::Debug {
    /// Every mesh, all pages.
    async fn meshes(&self) -> Result<Vec<ResourceRef>, PortError>;

    /// Every resource of `kind` directly below `parent` (a mesh, or a virtual router or gateway for its routes), all
    /// pages, without specs.
    async fn list(&self, parent: &ResourcePath, kind: ResourceKind) -> Result<Vec<ResourceRef>, PortError>;

    /// One resource with its spec.
    async fn describe(&self, path: &ResourcePath) -> Result<Resource, PortError>;

    /// The tags of a resource.
    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError>;

    /// One resource with its tags: in one call if the server supports that, else in two. If the tags cannot be listed,
    /// the resource is returned without them.
    async fn describe_with_tags(&self, path: &ResourcePath) -> Result<Described, PortError> {
        let resource = self.describe(path).await?;
        let tags = self.tags(&resource.metadata().arn.to_string()).await;
        let tags = tags.and_then(|tags| read_tags(path, tags));
        Ok(Described { resource, tags })
    }
}

/// A described resource.
#[derive(Debug)]
pub struct Described {
    /// The resource.
    pub resource: Resource,
    /// Its tags, or the error: App Mesh lists them by a separate call, for which a role may lack permission.
    pub tags: Result<Tags, PortError>,
}

/// Parses the tags of a response; invalid tags are an error.
fn read_tags(path: &ResourcePath, tags: BTreeMap<String, String>) -> Result<Tags, PortError> {
    Tags::read(tags).map_err(|error| PortError::new(format!("list tags of {path}"), PortErrorKind::Other, error))
}

/// A resource in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRef {
    /// Its path.
    pub path: ResourcePath,
    /// Its ARN.
    pub arn: String,
    /// Its version: a resource with an unchanged version does not have to be described again.
    pub version: u64,
    /// Its mesh's owner, for meshes shared from another account.
    pub mesh_owner: AccountId,
}

/// Writes the tags of resources of all kinds.
#[async_trait]
pub trait TagWriter: Send + Sync + std::fmt::Debug {
    /// Adds or replaces these tags.
    async fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<(), PortError>;

    /// Removes these tags; missing tags are ignored.
    async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), PortError>;
}

/// Writes routes and their tags.
#[async_trait]
pub trait RouteWriter: TagWriter {
    /// Replaces the route's spec if its version is unchanged since the write was prepared.
    async fn update_route(&self, write: &RouteWrite) -> Result<Written, PortError>;
}

/// Writes meshes and virtual nodes.
#[async_trait]
pub trait MeshWriter: Send + Sync + std::fmt::Debug {
    /// Replaces the mesh's spec if its version is unchanged since the write was prepared.
    async fn update_mesh(&self, write: &MeshWrite) -> Result<Written, PortError>;

    /// Replaces the virtual node's spec if its version is unchanged since the write was prepared.
    async fn update_virtual_node(&self, write: &VirtualNodeWrite) -> Result<Written, PortError>;

    /// Replaces the virtual gateway's spec if its version is unchanged since the write was prepared.
    async fn update_virtual_gateway(&self, write: &VirtualGatewayWrite) -> Result<Written, PortError>;
}

/// One compare-and-set write of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteWrite {
    /// The route.
    pub route: RouteId,
    /// The mesh's owner, for a mesh shared from another account; `None` for an own mesh.
    pub mesh_owner: Option<AccountId>,
    /// The spec that was read, with the change applied.
    pub spec: RouteSpec,
    /// The version that the spec was read at.
    pub if_version: u64,
    /// The idempotency token: the same write sent twice is made once.
    pub client_token: String,
}

/// One compare-and-set write of a mesh. Only its owner may write it, so no owner is named.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshWrite {
    /// The mesh.
    pub mesh: MeshName,
    /// The spec that was read, with the change applied.
    pub spec: MeshSpec,
    /// The version that the spec was read at.
    pub if_version: u64,
    /// The idempotency token: the same write sent twice is made once.
    pub client_token: String,
}

/// One compare-and-set write of a virtual node.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualNodeWrite {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node.
    pub virtual_node: VirtualNodeName,
    /// The mesh's owner, for a mesh shared from another account; `None` for an own mesh.
    pub mesh_owner: Option<AccountId>,
    /// The spec that was read, with the change applied.
    pub spec: VirtualNodeSpec,
    /// The version that the spec was read at.
    pub if_version: u64,
    /// The idempotency token: the same write sent twice is made once.
    pub client_token: String,
}

/// One compare-and-set write of a virtual gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualGatewayWrite {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual gateway.
    pub virtual_gateway: VirtualGatewayName,
    /// The mesh's owner, for a mesh shared from another account; `None` for an own mesh.
    pub mesh_owner: Option<AccountId>,
    /// The spec that was read, with the change applied.
    pub spec: VirtualGatewaySpec,
    /// The version that the spec was read at.
    pub if_version: u64,
    /// The idempotency token: the same write sent twice is made once.
    pub client_token: String,
}

/// The result of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// The write was made, based on the expected version.
    Applied {
        /// The new version.
        version: u64,
    },
    /// Another writer was first; nothing was changed.
    Superseded,
    /// The server does not compare versions, and the write replaced a change that had not been read.
    Overwrote {
        /// The new version, which is not the base's successor.
        version: u64,
    },
}
