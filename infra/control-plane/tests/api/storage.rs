//! What clients see of a storage that is slow, or fails.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use control_plane::state::{Action, Answer, ClientToken, Read, Record, Stamp, ValidSpec, Write};
use control_plane::storage::{CommitError, Storage};
use control_plane::{ApiError, Quotas, Store};
use mesh::name::ResourcePath;
use serde_json::json;

use crate::client::Plane;
use crate::fixture::{samples, shop};

/// A storage whose commits wait until they may go on, and fail when they are told to.
#[derive(Debug, Clone)]
struct Gate(Arc<(Mutex<Told>, Condvar)>);

#[derive(Debug)]
struct Told {
    open: bool,
    fails: bool,
    /// The records of each commit, also of those that are still held.
    commits: Vec<usize>,
    restarts: usize,
}

impl Gate {
    fn new(open: bool) -> Self {
        Self(Arc::new((Mutex::new(Told { open, fails: false, commits: Vec::new(), restarts: 0 }), Condvar::new())))
    }

    fn store(&self) -> Store {
        Store::over(Box::new(self.clone()), &[], Quotas::default()).unwrap()
    }

    fn tell(&self, open: bool, fails: bool) {
        let mut told = self.0.0.lock().unwrap();
        (told.open, told.fails) = (open, fails);
        self.0.1.notify_all();
    }

    fn told<T>(&self, look: impl FnOnce(&Told) -> T) -> T {
        look(&self.0.0.lock().unwrap())
    }

    /// Waits until this many commits were begun.
    fn begun(&self, commits: usize) {
        until(|| self.told(|told| told.commits.len() >= commits));
    }
}

impl Storage for Gate {
    fn commit(&mut self, records: &[Record]) -> Result<(), CommitError> {
        let mut told = self.0.0.lock().unwrap();
        told.commits.push(records.len());
        // Bounded, so that a test that fails ends.
        let (told, _) = self.0.1.wait_timeout_while(told, Duration::from_secs(20), |told| !told.open).unwrap();
        if told.fails { Err(CommitError::new("commit", "it was told to fail")) } else { Ok(()) }
    }

    fn restart(&mut self, _: &[Record]) -> Result<(), CommitError> {
        let mut told = self.0.0.lock().unwrap();
        told.restarts += 1;
        if told.fails { Err(CommitError::new("start over", "it was told to fail")) } else { Ok(()) }
    }

    fn waits(&self) -> bool {
        true
    }
}

fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happens");
        std::thread::yield_now();
    }
}

fn path(path: &str) -> ResourcePath {
    ResourcePath::parse(path).unwrap()
}

fn create(of: &str, token: &str) -> Write {
    let spec = Arc::new(ValidSpec::parse(&path(of), json!({})).unwrap());
    let action = Action::Create { spec, tags: Vec::new() };
    Write { path: path(of), action, if_version: None, token: ClientToken::parse(token).ok() }
}

fn stamp() -> Stamp {
    Stamp { now: jiff::Timestamp::UNIX_EPOCH, uid: uuid::Uuid::new_v4() }
}

/// A write that is under way.
fn begin(store: &Arc<Store>, write: Write) -> tokio::task::JoinHandle<Result<Answer, ApiError>> {
    let store = Arc::clone(store);
    tokio::spawn(async move { store.write(&write, &stamp()).await })
}

fn exists(store: &Store, of: &str) -> bool {
    store.read(&Read::Describe(path(of))).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_shown_a_write_before_it_is_stored() {
    let gate = Gate::new(false);
    let store = Arc::new(gate.store());
    let mut changes = store.changes();
    let first = begin(&store, create("mesh/m", "first"));
    gate.begun(1);
    // Decided with the first poll.
    let mut others = Vec::new();
    for (of, token) in [("mesh/m", "second"), ("mesh/m", "first"), ("mesh/m/virtualNode/n", "inside")] {
        let (store, write) = (Arc::clone(&store), create(of, token));
        let mut write = Box::pin(async move { store.write(&write, &stamp()).await });
        assert!(futures::poll!(&mut write).is_pending(), "an answer would tell of the first");
        others.push(write);
    }
    assert!(!exists(&store, "mesh/m"));
    assert!(changes.try_recv().is_err(), "nor is a follower");

    gate.tell(true, false);
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

#[tokio::test(flavor = "multi_thread")]
async fn when_a_write_fails_so_does_all_that_was_decided_upon_it() {
    let gate = Gate::new(false);
    let store = Arc::new(gate.store());
    let mut changes = store.changes();
    let first = begin(&store, create("mesh/m", "first"));
    gate.begun(1);
    let mut others = Vec::new();
    for (of, token) in [("mesh/m", "second"), ("mesh/m", "first"), ("mesh/m/virtualNode/n", "inside")] {
        let (store, write) = (Arc::clone(&store), create(of, token));
        let mut write = Box::pin(async move { store.write(&write, &stamp()).await });
        assert!(futures::poll!(&mut write).is_pending());
        others.push(write);
    }
    let mut port = Box::pin(store.put_port("mesh/m", Some(40_000)));
    assert!(futures::poll!(&mut port).is_pending());
    gate.tell(true, true);
    assert_eq!(first.await.unwrap(), Err(ApiError::Unavailable));
    for other in others {
        assert_eq!(other.await, Err(ApiError::Unavailable));
    }
    assert_eq!(port.await, Err(ApiError::Unavailable));
    assert!(!exists(&store, "mesh/m") && store.look(|state| state.records().is_empty()));
    assert!(changes.try_recv().is_err());
    assert!(!store.is_writable());

    gate.tell(true, false);
    until(|| store.is_writable());
    assert!(gate.told(|told| told.restarts) > 0, "the storage starts over before it is used again");
    let Ok(Answer::Resource(created)) = store.write(&create("mesh/m", "first"), &stamp()).await else {
        unreachable!("it is created")
    };
    assert_eq!(created.version, 1);
    assert_eq!(changes.try_recv().unwrap().version, 1, "it was not created before");
    assert!(exists(&store, "mesh/m"));
    store.put_port("mesh/m", Some(40_001)).await.unwrap();
    assert_eq!(store.look(|state| state.ports()["mesh/m"]), 40_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_together_are_stored_together() {
    let gate = Gate::new(false);
    let store = Arc::new(gate.store());
    let first = begin(&store, create("mesh/m", "t"));
    gate.begun(1);
    let mut others = Vec::new();
    for n in 0..50 {
        let (store, write) = (Arc::clone(&store), create(&format!("mesh/m/virtualNode/n{n}"), "t"));
        let mut write = Box::pin(async move { store.write(&write, &stamp()).await });
        // Decided with the first poll.
        assert!(futures::poll!(&mut write).is_pending());
        others.push(write);
    }
    gate.tell(true, false);
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(gate.told(|told| told.commits.clone()), [2, 100], "a resource and a remembered answer each");
}

#[tokio::test]
async fn a_failing_storage_is_told_and_nothing_changes_until_it_works_again() {
    let gate = Gate::new(true);
    let plane = Plane::over(gate.store()).await;
    shop(&plane).await;
    assert_eq!(plane.beside("/readyz").await.0, 200);
    let metadata = async |sample: &crate::fixture::Sample| plane.get(&sample.uri()).await.ok();
    for sample in samples().into_iter().take(2) {
        gate.tell(true, true);
        let before = metadata(&sample).await;
        let update = json!({"spec": sample.other_spec, "clientToken": "update"});
        let message = plane.put(&sample.uri(), update.clone()).await.error("ServiceUnavailableException");
        assert!(message.contains("nothing was changed"), "{message}");
        assert_eq!(metadata(&sample).await, before);
        assert_eq!(plane.beside("/readyz").await.0, 503);
        assert_eq!(plane.beside("/healthz").await.0, 200, "to end the process would not help");
        assert!(plane.beside("/metrics").await.1.contains("meshwarden_storage_writable 0"));

        gate.tell(true, false);
        until(|| plane.store.is_writable());
        assert_eq!(plane.beside("/readyz").await.0, 200, "without any write");
        assert_eq!(plane.put(&sample.uri(), update).await.ok()["metadata"]["version"], 2);
        plane.put(&sample.uri(), json!({"spec": sample.spec})).await.ok();
    }
}
