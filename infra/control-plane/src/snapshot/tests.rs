//! The file of a snapshot: read back, and refused when it is damaged.

use std::path::PathBuf;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::quotas::Quotas;
use crate::state::{Action, Answer, ClientToken, Realm, Record, Stamp, State, ValidSpec, Write};
use crate::storage::{Disk, Storage as _};
use mesh::name::{AccountId, ResourcePath};

fn realm() -> Realm {
    Realm::new(AccountId::parse("210987654321").unwrap(), crate::state::Region::parse("eu-north-1").unwrap())
}

/// The records of two meshes, a remembered answer, and a port.
fn records() -> Vec<Record> {
    let mut state = State::new(Quotas::default());
    for name in ["mesh/a", "mesh/b"] {
        let path = ResourcePath::parse(name).unwrap();
        let spec = Arc::new(ValidSpec::parse(&path, json!({"egressFilter": {"type": "DROP_ALL"}})).unwrap());
        let write = Write {
            path,
            action: Action::Create { spec, tags: Vec::new() },
            if_version: None,
            token: ClientToken::parse("token").ok(),
        };
        let stamp = Stamp { now: "2026-11-30T00:00:00Z".parse().unwrap(), uid: Uuid::new_v4(), caller: None };
        let written = state.write_if(&write, &stamp, |_, _| Ok(())).unwrap();
        assert!(matches!(written.answer, Answer::Resource(_)));
    }
    state.apply(&Record::Port("mesh/a/virtualNode/n".to_owned(), Some(20_000)));
    state.records()
}

fn snapshot() -> StoreSnapshot {
    StoreSnapshot::new(realm(), "id".to_owned(), (7, Timestamp::UNIX_EPOCH), &records()).unwrap()
}

/// A folder, removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("meshwarden-snapshot-{}", Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn written_file_is_read_back() {
    let (folder, snapshot) = (Scratch::new(), snapshot());
    let path = folder.0.join("mesh.snapshot");
    std::fs::write(&path, "an older file").unwrap();
    snapshot.write_file(&path).unwrap();
    assert_eq!(StoreSnapshot::read_file(&path).unwrap(), snapshot);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no draft is left");
    assert!(
        snapshot.to_string().starts_with("2 resources of account 210987654321 in eu-north-1, 5 records"),
        "{snapshot}"
    );
}

#[test]
fn every_damaged_byte_and_every_cut_is_detected() {
    let bytes = file::encode(&snapshot()).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(file::decode(&damaged).is_err(), "byte {at} of {}", bytes.len());
        assert!(file::decode(&bytes[..at]).is_err(), "the first {at} bytes of {}", bytes.len());
    }
    assert!(file::decode(&bytes).is_ok());
}

#[tokio::test]
async fn folder_is_restored_under_a_new_id_and_only_if_it_is_empty() {
    let (scratch, snapshot) = (Scratch::new(), snapshot());
    let folder = scratch.0.join("store");
    let store = SnapshotStore::Folder(folder.clone());
    assert!(matches!(StoreSnapshot::take(&store).await, Err(SnapshotError::Missing { .. })));
    assert!(!folder.exists(), "a snapshot creates no store");
    snapshot.restore(&store).await.unwrap();
    assert!(matches!(snapshot.restore(&store).await, Err(SnapshotError::NotEmpty { .. })));
    let taken = StoreSnapshot::take(&store).await.unwrap();
    assert_eq!((taken.digest, &taken.records, &taken.realm), (snapshot.digest, &snapshot.records, &snapshot.realm));
    assert_ne!(taken.store, snapshot.store);
    // The restored store is written on.
    let (mut disk, records) = Disk::open(&folder, &realm()).unwrap();
    assert_eq!(records.len(), snapshot.records.len());
    disk.commit(&[Record::Port("other".to_owned(), Some(1))]).unwrap();
}
