//! Meshes of which some can't be read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use mesh::resource::Resource;
use ports::memory::MemoryMesh;
use ports::{MeshReader, PortError, PortErrorKind, ResourceRef};

/// Meshes that can't be read, and how that fails.
pub(crate) type Unread = Arc<Mutex<BTreeMap<MeshName, PortErrorKind>>>;

/// The meshes, but for those that can't be read.
#[derive(Debug)]
pub(crate) struct Blinkered {
    pub(crate) meshes: MemoryMesh,
    pub(crate) unread: Unread,
}

impl Blinkered {
    fn check(&self, path: &ResourcePath) -> Result<(), PortError> {
        match self.unread.lock().unwrap().get(path.mesh()) {
            Some(kind) => Err(PortError::new(format!("describe {path}"), *kind, "not now")),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl MeshReader for Blinkered {
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
