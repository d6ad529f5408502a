//! Several stores on one log, in one process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::state::{Action, Answer, ClientToken, Read, Record, Stamp, State, ValidSpec, Write};
use control_plane::storage::{Appended, Digest, Entry, EntryOrigin, ItemLog, Log, MemoryLog, Snapshot};
use control_plane::{ApiError, Quotas, ReplicaRole, Store};
use futures::future::join_all;
use mesh::name::ResourcePath;
use serde_json::json;

use crate::cluster::until;
use crate::contract::realm;
use crate::etcd::Etcd;
use crate::ministack::MiniStack;

pub(crate) async fn open(log: Arc<dyn Log>, quotas: &Quotas) -> Store {
    let snapshot = log.load_snapshot().await.unwrap();
    Store::with_log(log, None, ReplicaRole::Replica, &snapshot, quotas.clone()).await.unwrap()
}

fn path(name: &str) -> ResourcePath {
    ResourcePath::parse(name).unwrap()
}

pub(crate) fn create(name: &str, token: Option<&str>) -> Write {
    let spec = Arc::new(ValidSpec::parse(&path(name), json!({})).unwrap());
    let token = token.map(|token| ClientToken::parse(token).unwrap());
    Write { path: path(name), action: Action::Create { spec, tags: Vec::new() }, if_version: None, token }
}

fn update(name: &str, if_version: Option<u64>) -> Write {
    let spec = Some(Arc::new(ValidSpec::parse(&path(name), json!({})).unwrap()));
    Write { path: path(name), action: Action::Update { spec }, if_version, token: None }
}

pub(crate) fn stamp() -> Stamp {
    Stamp { now: jiff::Timestamp::now(), uid: uuid::Uuid::new_v4(), caller: Some("AKIDFUNCTIONS".into()) }
}

fn version(answer: Result<Answer, ApiError>) -> Result<u64, ApiError> {
    answer.map(|answer| match answer {
        Answer::Resource(resource) => resource.version,
        Answer::Resources { .. } | Answer::Tags { .. } | Answer::Nothing => 0,
    })
}

/// Conditional writes, tokens and quotas hold across three replicas.
async fn writes_are_ordered_across_replicas(log: Arc<dyn Log>) {
    let quotas = Quotas::default().with("virtual-nodes-per-mesh=10".parse().unwrap());
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(open(Arc::clone(&log), &quotas).await));
    }
    stores[0].write(&create("mesh/m", None), &stamp()).await.unwrap();

    // One of the conditional writes with the same version is stored, whichever replica gets it.
    for expected in 1..6 {
        let attempts = stores.iter().cycle().take(6).map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move { version(store.write(&update("mesh/m", Some(expected)), &stamp()).await) })
        });
        let outcomes: Vec<_> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
        let winners = outcomes.iter().filter(|outcome| **outcome == Ok(expected + 1)).count();
        assert_eq!(winners, 1, "{outcomes:?}");
        for outcome in outcomes {
            let is_refusal =
                matches!(outcome, Err(ApiError::VersionMismatch { current, .. }) if current == expected + 1);
            assert!(outcome == Ok(expected + 1) || is_refusal, "{outcome:?}");
        }
    }

    // A repeated request gets the answer of the first one from every replica.
    let same: Vec<_> = join_all(stores.iter().map(|store| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.write(&create("mesh/m/virtualNode/t", Some("token")), &stamp()).await })
    }))
    .await
    .into_iter()
    .map(Result::unwrap)
    .collect();
    assert!(same[0].is_ok() && same.iter().all(|answer| *answer == same[0]), "{same:?}");

    // A quota is never exceeded.
    let created: Vec<_> = join_all((0..20).map(|n| {
        let store = Arc::clone(&stores[n % 3]);
        tokio::spawn(async move { store.write(&create(&format!("mesh/m/virtualNode/n{n}"), None), &stamp()).await })
    }))
    .await
    .into_iter()
    .map(Result::unwrap)
    .collect();
    assert_eq!(created.iter().filter(|answer| answer.is_ok()).count(), 9);
    assert!(created.iter().all(|answer| matches!(answer, Ok(_) | Err(ApiError::QuotaReached { .. }))), "{created:?}");

    assert_equal(&stores);
    let late = open(log, &quotas).await;
    assert!(late.inspect(|late| stores[0].inspect(|first| late == first)), "a new replica reaches the same state");
}

fn assert_equal(stores: &[Arc<Store>]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let first = &stores[0];
    for store in &stores[1..] {
        while !store.inspect(|state| first.inspect(|first| state == first)) {
            assert!(Instant::now() < deadline, "replicas at {} and {} differ", first.sequence(), store.sequence());
            std::thread::yield_now();
        }
    }
}

/// A replica that starts after trimming, and one that stood still meanwhile, continue with the snapshot.
async fn replica_continues_with_a_snapshot(log: Arc<dyn Log>) {
    let quotas = Quotas::default();
    let store = open(Arc::clone(&log), &quotas).await;
    store.write(&create("mesh/m", None), &stamp()).await.unwrap();
    for _ in 0..30 {
        store.write(&update("mesh/m", None), &stamp()).await.unwrap();
    }
    let start = log.load_snapshot().await.unwrap();
    let digest = store.inspect(Digest::of_state).unwrap();
    let snapshot = Snapshot {
        sequence: store.sequence(),
        time: jiff::Timestamp::now(),
        digest,
        records: store.inspect(State::records),
    };
    log.put_snapshot(&snapshot).await.unwrap();
    log.trim(snapshot.sequence).await.unwrap();
    // It begins with the empty state, as if it had been paused since.
    let paused = Store::with_log(Arc::clone(&log), None, ReplicaRole::Replica, &start, quotas.clone()).await.unwrap();
    assert_eq!(version(paused.write(&update("mesh/m", Some(31)), &stamp()).await), Ok(32));
    let new = open(Arc::clone(&log), &quotas).await;
    assert_eq!(version(new.read(&Read::Describe(path("mesh/m")))), Ok(32));
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_stops_at_an_entry_that_leads_to_another_state() {
    let log = Arc::new(MemoryLog::default());
    let store = open(Arc::<MemoryLog>::clone(&log), &Quotas::default()).await;
    store.write(&create("mesh/m", None), &stamp()).await.unwrap();
    let entry = Entry {
        sequence: log.head() + 1,
        origin: EntryOrigin { writer: uuid::Uuid::new_v4(), number: 1 },
        time: jiff::Timestamp::now(),
        digest: Digest::default(),
        records: [Record::Port("p".to_owned(), Some(1))].into(),
        events: Arc::default(),
    };
    assert_eq!(log.append(&entry).await.unwrap(), Appended::Done);
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.problem().is_none() {
        assert!(Instant::now() < deadline, "the replica does not stop");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..3 {
        assert_eq!(store.write(&update("mesh/m", None), &stamp()).await, Err(ApiError::Unavailable));
    }
    assert_eq!(store.sequence(), 1, "the entry is not applied");
    let start = log.load_snapshot().await.unwrap();
    let refused = Store::with_log(log, None, ReplicaRole::Replica, &start, Quotas::default()).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("entry 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_ordered_in_memory() {
    writes_are_ordered_across_replicas(Arc::new(MemoryLog::default())).await;
    replica_continues_with_a_snapshot(Arc::new(MemoryLog::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_ordered_in_a_table() {
    let Some(stack) = MiniStack::start().await else { return };
    for (name, is_first) in [("writes", true), ("snapshot", false)] {
        let (log, _) = ItemLog::open_table(stack.table(name).await, &realm()).await.unwrap();
        if is_first {
            writes_are_ordered_across_replicas(Arc::new(log)).await;
        } else {
            replica_continues_with_a_snapshot(Arc::new(log)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_ordered_in_etcd() {
    let Some(etcd) = Etcd::start().await else { return };
    let (log, _) = ItemLog::open_etcd(etcd.endpoints(), true, &realm()).await.unwrap();
    writes_are_ordered_across_replicas(Arc::new(log)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_starts_while_any_one_member_of_etcd_is_down() {
    let Some(mut etcd) = Etcd::start().await else { return };
    for member in 0..3 {
        etcd.kill(member);
        let (log, _) = ItemLog::open_etcd(etcd.endpoints(), true, &realm()).await.unwrap();
        let store = open(Arc::new(log), &Quotas::default()).await;
        let name = format!("mesh/m{member}");
        until("no write is stored", async || store.write(&create(&name, Some("t")), &stamp()).await.is_ok()).await;
        etcd.start_member(member);
    }
}

/// A member of three is killed while two replicas write, and started again: no acknowledged write is lost.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_a_killed_member() {
    let Some(mut etcd) = Etcd::start().await else { return };
    let mut stores = Vec::new();
    for _ in 0..2 {
        let (log, _) = ItemLog::open_etcd(etcd.endpoints(), true, &realm()).await.unwrap();
        stores.push(Arc::new(open(Arc::new(log), &Quotas::default()).await));
    }
    stores[0].write(&create("mesh/m", None), &stamp()).await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let writers = stores.iter().enumerate().map(|(number, store)| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for count in 0..60 {
                    let name = format!("mesh/m/virtualNode/n{round}-{number}-{count}");
                    let deadline = Instant::now() + Duration::from_secs(30);
                    loop {
                        match store.write(&create(&name, Some("t")), &stamp()).await {
                            Ok(_) => break acknowledged.push(name),
                            Err(ApiError::OutcomeUnknown | ApiError::Stale | ApiError::Unavailable) => {}
                            Err(error) => panic!("{name}: {error}"),
                        }
                        assert!(Instant::now() < deadline, "{name} is never stored");
                    }
                }
                acknowledged
            })
        });
        let writers: Vec<_> = writers.collect();
        etcd.kill(round);
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        etcd.start_member(round);
    }
    assert_equal(&stores);
    for name in &acknowledged {
        assert_eq!(version(stores[1].read(&Read::Describe(path(name)))), Ok(1), "{name} is lost");
    }
    let (log, _) = ItemLog::open_etcd(etcd.endpoints(), true, &realm()).await.unwrap();
    let late = open(Arc::new(log), &Quotas::default()).await;
    assert!(late.inspect(|late| stores[0].inspect(|first| late == first)), "the log leads to another state");
    println!("{} acknowledged writes, 3 members killed, 0 lost", acknowledged.len());
}
