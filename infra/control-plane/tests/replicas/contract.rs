//! What every shared log has to do.

use std::fmt::Write as _;
use std::sync::Arc;

use control_plane::state::{Realm, Record, Region};
use control_plane::storage::{
    Appended, Digest, Disk, Entry, EntryOrigin, EventCursor, EventCursors, EvidenceChunk, ItemLog, LocalLog, Log,
    LogItem, Memory, MemoryLog, Registry, ReplicaRecord, ReplicaState, Sequence, Snapshot,
};
use futures::future::join_all;
use jiff::Timestamp;
use mesh::name::AccountId;
use uuid::Uuid;

use crate::etcd::Etcd;
use crate::ministack::{ACCOUNT, MiniStack, REGION};

pub(crate) fn realm() -> Realm {
    Realm::new(AccountId::parse(ACCOUNT).unwrap(), Region::parse(REGION).unwrap())
}

fn entry(sequence: Sequence, writer: u128, number: u64, records: Vec<Record>) -> Entry {
    Entry {
        sequence,
        origin: EntryOrigin { writer: Uuid::from_u128(writer), number },
        time: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
        digest: Digest::parse(sequence, "00ff").unwrap(),
        records: records.into(),
        events: Arc::default(),
    }
}

fn port(key: &str, port: u16) -> Record {
    Record::Port(key.to_owned(), Some(port))
}

/// Reads the log to its end.
async fn read_all(log: &dyn Log, mut after: Sequence) -> Vec<LogItem> {
    let mut all = Vec::new();
    loop {
        let page = log.read(after).await.unwrap();
        after += page.items.len() as u64;
        all.extend(page.items);
        if !page.more {
            return all;
        }
    }
}

/// Every check, on a log that is empty.
async fn all(log: Arc<dyn Log>) {
    assert_eq!(log.load_snapshot().await.unwrap(), Snapshot::default());
    assert_eq!(read_all(&*log, 0).await, []);
    position_is_used_once(&*log).await;
    one_of_many_writers_gets_a_position(&log).await;
    long_entries_and_many_entries_are_read_completely(&*log).await;
    later_snapshot_replaces_an_earlier_one(&*log).await;
    emptied_positions_stay_used(&*log).await;
}

async fn position_is_used_once(log: &dyn Log) {
    let first = entry(1, 1, 1, vec![port("a \u{1F980} \"", 1), Record::Forgotten(7)]);
    assert_eq!(log.append(&first).await.unwrap(), Appended::Done);
    let held = LogItem::Entry(first.clone());
    assert_eq!(log.append(&first).await.unwrap(), Appended::Taken(held.clone()), "the identical entry again");
    let other = entry(1, 2, 1, vec![port("b", 2)]);
    assert_eq!(log.append(&other).await.unwrap(), Appended::Taken(held.clone()));
    assert_eq!(read_all(log, 0).await, [held]);
    assert_eq!(read_all(log, 1).await, []);
}

async fn one_of_many_writers_gets_a_position(log: &Arc<dyn Log>) {
    for sequence in 2..12 {
        let attempts = (1..9_u64).map(|writer| {
            let log = Arc::clone(log);
            let entry = entry(sequence, u128::from(writer), sequence, vec![port("n", 1)]);
            tokio::spawn(async move { (entry.origin, log.append(&entry).await.unwrap()) })
        });
        let outcomes: Vec<_> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome == Appended::Done).collect();
        assert_eq!(winners.len(), 1, "{sequence}");
        for (_, outcome) in &outcomes {
            if let Appended::Taken(item) = outcome {
                assert_eq!(item.origin(), winners[0].0, "the losers learn the winner");
            }
        }
    }
}

/// Text that compression does not shorten much.
fn noise(bytes: usize, mut seed: u64) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Writing to a string cannot fail.
        let _ = write!(text, "{seed:x}");
    }
    text
}

async fn long_entries_and_many_entries_are_read_completely(log: &dyn Log) {
    let mut expected = Vec::new();
    for sequence in 12..150 {
        // One entry of a megabyte, and enough others for more than one page.
        let bytes = if sequence == 20 { 1_000_000 } else { 15_000 };
        let records = vec![port(&noise(bytes, sequence), 1)];
        // Events beside short and long records, and events that do not fit into the item.
        let events: Vec<String> = match sequence {
            20 | 21 => vec![noise(9000, sequence), "an event".to_owned()],
            22 => (0..30).map(|number| noise(30_000, number)).collect(),
            _ => Vec::new(),
        };
        let entry = Entry { events: events.into(), ..entry(sequence, 3, sequence, records) };
        assert_eq!(log.append(&entry).await.unwrap(), Appended::Done);
        expected.push(LogItem::Entry(entry));
    }
    assert!(read_all(log, 11).await == expected, "the read entries differ from the appended ones");
    let LogItem::Entry(largest) = &expected[8] else { unreachable!("it is an entry") };
    assert!(log.append(largest).await.unwrap() == Appended::Taken(expected[8].clone()));
}

async fn later_snapshot_replaces_an_earlier_one(log: &dyn Log) {
    let snapshot = |sequence: Sequence| Snapshot {
        sequence,
        time: Timestamp::from_second(1_700_000_000).unwrap(),
        digest: Digest::parse(3, "abc").unwrap(),
        records: (0..40).map(|n| port(&format!("{n:03} {}", noise(20_000, sequence + n)), 4)).collect(),
    };
    for (stored, expected) in [(100, 100), (140, 140), (120, 140)] {
        log.put_snapshot(&snapshot(stored)).await.unwrap();
        assert!(log.load_snapshot().await.unwrap() == snapshot(expected), "after a snapshot of {stored}");
    }
}

async fn emptied_positions_stay_used(log: &dyn Log) {
    let head = read_all(log, 0).await.len();
    for upto in [30, 30, 60, 100] {
        log.trim(upto).await.unwrap();
        let items = read_all(log, 0).await;
        assert_eq!(items.len(), head, "no position is freed");
        for (position, item) in items.iter().enumerate() {
            let is_emptied = matches!(item, LogItem::Emptied(_));
            assert_eq!(is_emptied, (position as u64) < upto, "position {} after trimming up to {upto}", position + 1);
        }
    }
    let late = entry(5, 77, 1, vec![port("late", 1)]);
    assert!(matches!(log.append(&late).await.unwrap(), Appended::Taken(LogItem::Emptied(_))));
    assert_eq!(log.load_snapshot().await.unwrap().sequence, 140);
}

/// Every check of the cursors of receivers of change events.
async fn cursors(cursors: &dyn EventCursors) {
    let cursor = |owner: Option<u128>, renewals, sequence| EventCursor {
        owner: owner.map(Uuid::from_u128),
        renewals,
        sequence,
        events: 3,
    };
    assert_eq!(cursors.cursor("bus:a").await.unwrap(), None);
    for (name, put, stored) in [
        ("the first", cursor(None, 1, 7), cursor(None, 1, 7)),
        ("more renewals", cursor(Some(1), 2, 8), cursor(Some(1), 2, 8)),
        ("as many, of another replica", cursor(Some(2), 2, 7), cursor(Some(1), 2, 8)),
        ("the same again", cursor(Some(1), 2, 8), cursor(Some(1), 2, 8)),
        ("a late one", cursor(Some(1), 1, 9), cursor(Some(1), 2, 8)),
        ("a takeover", cursor(Some(2), 3, 8), cursor(Some(2), 3, 8)),
    ] {
        assert_eq!(cursors.put_cursor("bus:a", &put).await.unwrap(), stored, "{name}");
        assert_eq!(cursors.cursor("bus:a").await.unwrap(), Some(stored), "{name}");
    }
    assert_eq!(cursors.cursor("bus:b").await.unwrap(), None);
}

/// Every check of a registry.
async fn registry(registry: &dyn Registry) {
    assert_eq!(registry.list().await.unwrap(), []);
    registry.check().await.unwrap();
    let record = |id: u128, beat| ReplicaRecord {
        id: Uuid::from_u128(id),
        state: ReplicaState::Live,
        beat,
        sequence: 7,
        mean_append: (id == 1).then(|| std::time::Duration::from_micros(1500)),
        release: "0.1.0".to_owned(),
        serve_stale: std::time::Duration::from_secs(90),
        chunks: (id == 1).then(|| vec![1, 7]),
        reads: u64::try_from(id).unwrap(),
    };
    let chunk =
        |number, generation| EvidenceChunk { number, generation, body: vec![u8::try_from(generation).unwrap(); 9] };
    registry.report(&record(1, 1), &[chunk(0, 1), chunk(1, 7)]).await.unwrap();
    registry.report(&record(2, 1), &[]).await.unwrap();
    assert_eq!(registry.chunks(record(1, 1).id).await.unwrap(), [chunk(0, 1), chunk(1, 7)]);
    assert_eq!(registry.chunks(record(2, 1).id).await.unwrap(), []);
    let stopped = ReplicaRecord { state: ReplicaState::Stopped, chunks: Some(Vec::new()), ..record(1, 2) };
    registry.report(&stopped, &[chunk(0, 8)]).await.unwrap();
    assert_eq!(registry.list().await.unwrap(), [stopped.clone(), record(2, 1)]);
    // A report that arrives late replaces nothing.
    registry.report(&record(1, 1), &[chunk(0, 1), chunk(1, 6)]).await.unwrap();
    assert_eq!(registry.list().await.unwrap(), [stopped.clone(), record(2, 1)]);
    assert_eq!(registry.chunks(stopped.id).await.unwrap(), [chunk(0, 8), chunk(1, 7)]);
    registry.remove(record(2, 1).id).await.unwrap();
    assert_eq!(registry.list().await.unwrap(), std::slice::from_ref(&stopped));
    registry.remove(stopped.id).await.unwrap();
    assert_eq!(registry.list().await.unwrap(), []);
    assert_eq!(registry.chunks(stopped.id).await.unwrap(), []);
}

#[tokio::test]
async fn memory_log_keeps_the_contract() {
    registry(&MemoryLog::default()).await;
    cursors(&MemoryLog::default()).await;
    all(Arc::new(MemoryLog::default())).await;
}

#[tokio::test]
async fn table_keeps_the_contract() {
    let Some(stack) = MiniStack::start().await else { return };
    let table = stack.table("contract").await;
    let (log, snapshot) = ItemLog::open_table(table, &realm()).await.unwrap();
    assert_eq!(snapshot, Snapshot::default());
    registry(&log).await;
    cursors(&log).await;
    all(Arc::new(log)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_the_contract() {
    let Some(etcd) = Etcd::start().await else { return };
    let error = ItemLog::open_etcd(etcd.endpoints(), false, &realm()).await.unwrap_err().to_string();
    assert!(error.contains("13766"), "{error}");
    let (log, snapshot) = ItemLog::open_etcd(etcd.endpoints(), true, &realm()).await.unwrap();
    assert_eq!(snapshot, Snapshot::default());
    registry(&log).await;
    cursors(&log).await;
    all(Arc::new(log)).await;
}

/// What a log of one process has to do: no other process takes a position, and its storage has the resulting records.
async fn exclusive(log: &dyn Log) {
    assert!(!log.is_shared());
    for sequence in 1..5 {
        let key = format!("k{}", sequence % 2);
        let entry = entry(sequence, 1, sequence, vec![port(&key, u16::try_from(sequence).unwrap())]);
        assert_eq!(log.append(&entry).await.unwrap(), Appended::Done);
        assert_eq!(read_all(log, sequence - 1).await, [], "no entry is read: the storage has the records");
    }
    let records = || vec![port("k1", 3), port("recovered", 9)];
    log.recover(&records).await.unwrap();
    let last = entry(5, 1, 5, vec![port("last", 5)]);
    assert_eq!(log.append(&last).await.unwrap(), Appended::Done);
    assert!(!log.is_full());
}

#[tokio::test]
async fn logs_of_one_process_keep_the_contract() {
    exclusive(&LocalLog::new(Box::new(Memory))).await;
    let folder = std::env::temp_dir().join(format!("meshwarden-contract-{}", Uuid::new_v4()));
    let (disk, records) = Disk::open(&folder.join("store"), &realm()).unwrap();
    assert_eq!(records, []);
    let log = LocalLog::new(Box::new(disk));
    exclusive(&log).await;
    drop(log);
    let (disk, records) = Disk::open(&folder.join("store"), &realm()).unwrap();
    assert_eq!(records, [port("k1", 3), port("last", 5), port("recovered", 9)]);
    drop(disk);
    std::fs::remove_dir_all(folder).unwrap();
}
