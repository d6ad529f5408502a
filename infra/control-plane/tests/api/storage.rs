//! The effect of a slow or failing storage on clients.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use control_plane::state::{Action, Answer, ClientToken, Read, Record, Stamp, ValidSpec, Write};
use control_plane::storage::{CommitError, Storage};
use control_plane::{ApiError, PortRequest, Quotas, Store};
use mesh::name::ResourcePath;
use serde_json::json;

use crate::client::Plane;
use crate::fixture::{samples, shop};

/// A storage with commits that wait for the test, and fail on request.
#[derive(Debug, Clone)]
struct TestStorage(Arc<(Mutex<StorageControl>, Condvar)>);

#[derive(Debug)]
struct StorageControl {
    open: bool,
    fails: bool,
    /// The number of records of each commit, including waiting ones.
    commits: Vec<usize>,
    restarts: usize,
}

impl TestStorage {
    fn new(open: bool) -> Self {
        let control = StorageControl { open, fails: false, commits: Vec::new(), restarts: 0 };
        Self(Arc::new((Mutex::new(control), Condvar::new())))
    }

    fn store(&self) -> Store {
        Store::with_storage(Box::new(self.clone()), &[], Quotas::default()).unwrap()
    }

    fn set(&self, open: bool, fails: bool) {
        let mut control = self.0.0.lock().unwrap();
        (control.open, control.fails) = (open, fails);
        self.0.1.notify_all();
    }

    fn inspect<T>(&self, read: impl FnOnce(&StorageControl) -> T) -> T {
        read(&self.0.0.lock().unwrap())
    }

    /// Waits until this many commits have started.
    fn wait_for_commits(&self, commits: usize) {
        until(|| self.inspect(|control| control.commits.len() >= commits));
    }
}

impl Storage for TestStorage {
    fn commit(&mut self, records: &[Record]) -> Result<(), CommitError> {
        let mut control = self.0.0.lock().unwrap();
        control.commits.push(records.len());
        // The timeout ends a failing test.
        let (control, _) =
            self.0.1.wait_timeout_while(control, Duration::from_secs(20), |control| !control.open).unwrap();
        if control.fails { Err(CommitError::new("commit", "the test lets it fail")) } else { Ok(()) }
    }

    fn restart(&mut self, _: &[Record]) -> Result<(), CommitError> {
        let mut control = self.0.0.lock().unwrap();
        control.restarts += 1;
        if control.fails { Err(CommitError::new("rebuild the store", "the test lets it fail")) } else { Ok(()) }
    }

    fn waits(&self) -> bool {
        true
    }
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition is not met in time");
        std::thread::yield_now();
    }
}

fn path(path: &str) -> ResourcePath {
    ResourcePath::parse(path).unwrap()
}

fn create(name: &str, token: &str) -> Write {
    let spec = Arc::new(ValidSpec::parse(&path(name), json!({})).unwrap());
    let action = Action::Create { spec, tags: Vec::new() };
    Write { path: path(name), action, if_version: None, token: ClientToken::parse(token).ok() }
}

fn stamp() -> Stamp {
    Stamp { now: jiff::Timestamp::UNIX_EPOCH, uid: uuid::Uuid::new_v4() }
}

/// A write in progress.
fn begin(store: &Arc<Store>, write: Write) -> tokio::task::JoinHandle<Result<Answer, ApiError>> {
    let store = Arc::clone(store);
    tokio::spawn(async move { store.write(&write, &stamp()).await })
}

fn exists(store: &Store, name: &str) -> bool {
    store.read(&Read::Describe(path(name))).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_receives_a_write_before_it_is_stored() {
    let storage = TestStorage::new(false);
    let store = Arc::new(storage.store());
    let mut changes = store.changes();
    let first = begin(&store, create("mesh/m", "first"));
    storage.wait_for_commits(1);
    // The first poll decides the write.
    let mut others = Vec::new();
    for (name, token) in [("mesh/m", "second"), ("mesh/m", "first"), ("mesh/m/virtualNode/n", "inside")] {
        let (store, write) = (Arc::clone(&store), create(name, token));
        let mut write = Box::pin(async move { store.write(&write, &stamp()).await });
        assert!(futures::poll!(&mut write).is_pending(), "an answer would reveal the first write");
        others.push(write);
    }
    assert!(!exists(&store, "mesh/m"));
    assert!(changes.try_recv().is_err(), "a follower does not receive it either");

    storage.set(true, false);
    let answer = first.await.unwrap().unwrap();
    assert!(exists(&store, "mesh/m"));
    let mut outcomes = Vec::new();
    for other in others {
        outcomes.push(other.await);
    }
    let [refused, repeated, inside] = outcomes.try_into().unwrap();
    assert_eq!(refused.unwrap_err().error_type().name(), "ConflictException");
    assert_eq!(repeated.unwrap(), answer);
    inside.unwrap();
    assert_eq!(changes.try_recv().unwrap().path, path("mesh/m"));
    assert_eq!(changes.try_recv().unwrap().path, path("mesh/m/virtualNode/n"));
}

fn port_request(port: u16) -> PortRequest {
    PortRequest { range: port..=port, edits: [("mesh/m".to_owned(), Some(port))].into(), busy: [].into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_write_fails_every_write_that_depends_on_it_fails() {
    let storage = TestStorage::new(false);
    let store = Arc::new(storage.store());
    let mut changes = store.changes();
    let first = begin(&store, create("mesh/m", "first"));
    storage.wait_for_commits(1);
    let mut others = Vec::new();
    for (name, token) in [("mesh/m", "second"), ("mesh/m", "first"), ("mesh/m/virtualNode/n", "inside")] {
        let (store, write) = (Arc::clone(&store), create(name, token));
        let mut write = Box::pin(async move { store.write(&write, &stamp()).await });
        assert!(futures::poll!(&mut write).is_pending());
        others.push(write);
    }
    let planned = port_request(40_000);
    let mut port = Box::pin(store.assign_ports(&planned));
    assert!(futures::poll!(&mut port).is_pending());
    storage.set(true, true);
    assert_eq!(first.await.unwrap(), Err(ApiError::Unavailable));
    for other in others {
        assert_eq!(other.await, Err(ApiError::Unavailable));
    }
    assert_eq!(port.await, Err(ApiError::Unavailable));
    assert!(!exists(&store, "mesh/m") && store.inspect(|state| state.records().is_empty()));
    assert!(changes.try_recv().is_err());
    assert!(!store.is_writable());

    storage.set(true, false);
    until(|| store.is_writable());
    assert!(storage.inspect(|control| control.restarts) > 0, "the storage restarts before it is used again");
    let Ok(Answer::Resource(created)) = store.write(&create("mesh/m", "first"), &stamp()).await else {
        unreachable!("the mesh is created")
    };
    assert_eq!(created.version, 1);
    assert_eq!(changes.try_recv().unwrap().version, 1, "the failed write did not create it");
    assert!(exists(&store, "mesh/m"));
    store.assign_ports(&port_request(40_001)).await.unwrap();
    assert_eq!(store.inspect(|state| state.ports()["mesh/m"]), 40_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_writes_are_stored_in_one_commit() {
    let storage = TestStorage::new(false);
    let store = Arc::new(storage.store());
    let first = begin(&store, create("mesh/m", "t"));
    storage.wait_for_commits(1);
    let mut others = Vec::new();
    for n in 0..50 {
        let (store, write) = (Arc::clone(&store), create(&format!("mesh/m/virtualNode/n{n}"), "t"));
        let mut write = Box::pin(async move { store.write(&write, &stamp()).await });
        // The first poll decides the write.
        assert!(futures::poll!(&mut write).is_pending());
        others.push(write);
    }
    storage.set(true, false);
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(storage.inspect(|control| control.commits.clone()), [2, 100], "each has a resource and an answer");
}

#[tokio::test]
async fn a_failing_storage_is_reported_and_nothing_changes_until_it_works_again() {
    let storage = TestStorage::new(true);
    let plane = Plane::with_store(storage.store()).await;
    shop(&plane).await;
    assert_eq!(plane.endpoint("/readyz").await.0, 200);
    let metadata = async |sample: &crate::fixture::Sample| plane.get(&sample.uri()).await.ok();
    for sample in samples().into_iter().take(2) {
        storage.set(true, true);
        let before = metadata(&sample).await;
        let update = json!({"spec": sample.other_spec, "clientToken": "update"});
        let message = plane.put(&sample.uri(), update.clone()).await.error("ServiceUnavailableException");
        assert!(message.contains("nothing was changed"), "{message}");
        assert_eq!(metadata(&sample).await, before);
        assert_eq!(plane.endpoint("/readyz").await.0, 503);
        assert_eq!(plane.endpoint("/healthz").await.0, 200, "a restart of the process would not help");
        assert!(plane.endpoint("/metrics").await.1.contains("meshwarden_storage_writable 0"));

        storage.set(true, false);
        until(|| plane.store.is_writable());
        assert_eq!(plane.endpoint("/readyz").await.0, 200, "ready again before the next write");
        assert_eq!(plane.put(&sample.uri(), update).await.ok()["metadata"]["version"], 2);
        plane.put(&sample.uri(), json!({"spec": sample.spec})).await.ok();
    }
}
