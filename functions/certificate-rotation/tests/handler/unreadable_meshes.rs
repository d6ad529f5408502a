//! A mesh reader that cannot read some meshes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use mesh::resource::Resource;
use ports::{MeshReader, PortError, PortErrorKind, ResourceRef};
use ports_memory::MemoryMesh;

/// The unreadable meshes, each with the kind of the error.
pub(crate) type Unread = Arc<Mutex<BTreeMap<MeshName, PortErrorKind>>>;

/// A reader that fails for the unreadable meshes.
#[derive(Debug)]
pub(crate) struct UnreadableMeshes {
    pub(crate) meshes: MemoryMesh,
    pub(crate) unread: Unread,
}

impl UnreadableMeshes {
    fn check(&self, path: &ResourcePath) -> Result<(), PortError> {
        match self.unread.lock().unwrap().get(path.mesh()) {
            Some(kind) => Err(PortError::new(format!("describe {path}"), *kind, "not now")),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl MeshReader for UnreadableMeshes {
    async fn meshes(&self) -> Result<Vec<ResourceRef>, PortError> {
        self.meshes.meshes().await
    }

    async fn list(&self, parent: &ResourcePath, kind: ResourceKind) -> Result<Vec<ResourceRef>, PortError> {
        self.check(parent)?;
        self.meshes.list(parent, kind).await
    }

    async fn describe(&self, path: &ResourcePath) -> Result<Resource, PortError> {
        self.check(path)?;
        self.meshes.describe(path).await
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError> {
        self.meshes.tags(arn).await
    }
}
