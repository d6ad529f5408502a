//! An API with a fault at one call.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::resource::Resource;
use ports::{
    CreationOutcome, DeletionOutcome, Described, MeshReader, PortError, PortErrorKind, ResourceCreation,
    ResourceDeletion, ResourceRef, ResourceUpdate, ResourceWriter, TagWriter, Written,
};
use tokio::sync::Notify;

/// The fault at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server throttles the call, which has no effect.
    Throttled,
    /// The server executes the call, and the answer is lost.
    LostAnswer,
    /// The process ends before the call.
    KilledBefore,
    /// The process ends after the call.
    KilledAfter,
}

/// An API with a fault at its call number `at`, from 1.
#[derive(Debug)]
pub(super) struct FaultyApi<'a> {
    pub(super) inner: &'a aws::AppMesh,
    pub(super) at: usize,
    pub(super) fault: Fault,
    pub(super) calls: AtomicUsize,
    /// The numbers of the calls that write.
    pub(super) writes: Mutex<Vec<usize>>,
    /// Notified when the process ends.
    pub(super) killed: Notify,
}

impl<'a> FaultyApi<'a> {
    pub(super) fn new(inner: &'a aws::AppMesh, at: usize, fault: Fault) -> Self {
        Self { inner, at, fault, calls: AtomicUsize::new(0), writes: Mutex::default(), killed: Notify::new() }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 != self.at {
            return call.await;
        }
        match self.fault {
            Fault::Throttled => Err(PortError::new("call", PortErrorKind::Throttled, "too many requests")),
            Fault::LostAnswer => {
                drop(call.await);
                Err(PortError::new("call", PortErrorKind::TimedOut, "no answer in time"))
            }
            Fault::KilledBefore => self.end().await,
            Fault::KilledAfter => {
                drop(call.await);
                self.end().await
            }
        }
    }

    async fn write<T>(&self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        self.writes.lock().unwrap().push(self.calls.load(Ordering::SeqCst) + 1);
        self.call(call).await
    }

    async fn end<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl MeshReader for FaultyApi<'_> {
    async fn meshes(&self) -> Result<Vec<ResourceRef>, PortError> {
        self.call(self.inner.meshes()).await
    }

    async fn list(&self, parent: &ResourcePath, kind: ResourceKind) -> Result<Vec<ResourceRef>, PortError> {
        self.call(self.inner.list(parent, kind)).await
    }

    async fn describe(&self, path: &ResourcePath) -> Result<Resource, PortError> {
        self.call(self.inner.describe(path)).await
    }

    async fn describe_with_tags(&self, path: &ResourcePath) -> Result<Described, PortError> {
        self.call(self.inner.describe_with_tags(path)).await
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError> {
        self.call(self.inner.tags(arn)).await
    }
}

#[async_trait]
impl TagWriter for FaultyApi<'_> {
    async fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<(), PortError> {
        self.write(self.inner.tag(arn, tags)).await
    }

    async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), PortError> {
        self.write(self.inner.untag(arn, keys)).await
    }
}

#[async_trait]
impl ResourceWriter for FaultyApi<'_> {
    async fn create_resource(&self, write: &ResourceCreation) -> Result<CreationOutcome, PortError> {
        self.write(self.inner.create_resource(write)).await
    }

    async fn update_resource(&self, write: &ResourceUpdate) -> Result<Written, PortError> {
        self.write(self.inner.update_resource(write)).await
    }

    async fn delete_resource(&self, write: &ResourceDeletion) -> Result<DeletionOutcome, PortError> {
        self.write(self.inner.delete_resource(write)).await
    }
}
