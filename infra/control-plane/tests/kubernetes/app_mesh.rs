//! A real control plane in this process, behind a client with faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws::AppMesh;
use aws_config::{BehaviorVersion, Region};
use control_plane::{Server, Settings};
use mesh::name::{AccountId, ResourceKind, ResourcePath};
use mesh::resource::Resource;
use ports::{
    CreationOutcome, DeletionOutcome, Described, MeshReader, PortError, PortErrorKind, ResourceCreation,
    ResourceDeletion, ResourceRef, ResourceUpdate, ResourceWriter, TagWriter, Written,
};
use tokio::sync::{Notify, oneshot};

const ACCOUNT: &str = "123456789012";

/// A control plane that ends with the test.
pub(crate) struct Plane {
    pub(crate) api: Arc<Api>,
    _running: oneshot::Sender<()>,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        let region = control_plane::state::Region::parse("eu-west-1").unwrap();
        let server = Server::bind(Settings::new(AccountId::parse(ACCOUNT).unwrap(), region)).await.unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(server.endpoint())
            .region(Region::new("eu-west-1"))
            .credentials_provider(aws_credential_types::Credentials::new(ACCOUNT, "secret", None, None, "tests"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .load()
            .await;
        let (running, ended) = oneshot::channel::<()>();
        tokio::spawn(server.serve(async {
            let _ = ended.await;
        }));
        let inner = aws::Aws::with_config(config).mesh();
        let api = Api {
            inner,
            read_faults: Mutex::default(),
            write_faults: Mutex::default(),
            kill: Mutex::new(Kill::never()),
        };
        Self { api: Arc::new(api), _running: running }
    }

    /// The specs of all resources, and whether each has the tag of an object.
    pub(crate) async fn state(&self) -> BTreeMap<String, (serde_json::Value, bool)> {
        let api = &self.api.inner;
        let mut state = BTreeMap::new();
        for mesh in api.meshes().await.unwrap() {
            let found = ports::survey(api, mesh.path.mesh(), &mut ports::Pace::new(4, 16)).await.unwrap();
            for (path, resource) in found.resources {
                let is_owned = resource.tags.unwrap().value(kubernetes::OWNER_TAG).is_some();
                state.insert(path.to_string(), (resource.resource.into_spec().to_json(), is_owned));
            }
        }
        state
    }

    pub(crate) async fn paths(&self) -> BTreeSet<String> {
        self.state().await.into_keys().collect()
    }
}

/// The end of a process at one of its writes, counted over both servers.
#[derive(Debug, Clone)]
pub(crate) struct Kill {
    calls: Arc<AtomicUsize>,
    at: usize,
    after: bool,
    pub(crate) killed: Arc<Notify>,
}

impl Kill {
    pub(crate) fn never() -> Self {
        Self::at(usize::MAX, false)
    }

    /// The end before or after the write with this number, from 1.
    pub(crate) fn at(at: usize, after: bool) -> Self {
        Self { calls: Arc::default(), at, after, killed: Arc::default() }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 != self.at {
            return call.await;
        }
        if self.after {
            drop(call.await);
        }
        self.killed.notify_one();
        std::future::pending().await
    }
}

/// The client of the control plane.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) inner: AppMesh,
    /// The failures of the next reads, the last one first.
    read_faults: Mutex<Vec<PortErrorKind>>,
    /// The failures of the next writes, the last one first.
    write_faults: Mutex<Vec<PortErrorKind>>,
    kill: Mutex<Kill>,
}

impl Api {
    pub(crate) fn set_faults(&self, reads: Vec<PortErrorKind>, writes: Vec<PortErrorKind>) {
        *self.read_faults.lock().unwrap() = reads;
        *self.write_faults.lock().unwrap() = writes;
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.read_faults.lock().unwrap().len() + self.write_faults.lock().unwrap().len()
    }

    pub(crate) fn set_kill(&self, kill: Kill) {
        *self.kill.lock().unwrap() = kill;
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        let fault = self.read_faults.lock().unwrap().pop();
        unless(fault, call).await
    }

    async fn write<T>(&self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        let kill = self.kill.lock().unwrap().clone();
        let fault = self.write_faults.lock().unwrap().pop();
        kill.around(unless(fault, call)).await
    }
}

async fn unless<T>(
    fault: Option<PortErrorKind>,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    match fault {
        Some(kind) => Err(PortError::new("call", kind, "fault of the test")),
        None => call.await,
    }
}

#[async_trait]
impl MeshReader for Api {
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
impl TagWriter for Api {
    async fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<(), PortError> {
        self.write(self.inner.tag(arn, tags)).await
    }

    async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), PortError> {
        self.write(self.inner.untag(arn, keys)).await
    }
}

#[async_trait]
impl ResourceWriter for Api {
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
