//! The content of a store after restarts, damage and failures.

mod damage;
mod device;
mod restarts;
mod scratch;

use std::sync::Arc;

use mesh::name::{AccountId, ResourceKind, ResourcePath};
use mesh::resource::Tags;
use serde_json::{Value, json};

use super::{Disk, OpenError, Storage as _};
use crate::quotas::Quotas;
use crate::state::tests::{spec, stamp};
use crate::state::{Action, ClientToken, Realm, Record, Region, State, ValidSpec, Write};
use scratch::Scratch;

pub(super) fn realm() -> Realm {
    Realm::new(AccountId::parse("123456789012").unwrap(), Region::parse("eu-west-1").unwrap())
}

/// The state that records lead to.
pub(super) fn replayed(records: &[Record]) -> State {
    let mut state = State::new(Quotas::default());
    for record in records {
        state.apply(record);
    }
    state
}

pub(super) fn open(folder: &Scratch) -> Result<(Disk, Vec<Record>), OpenError> {
    Disk::open(folder.path(), &realm())
}

/// A write that creates a resource, with a token and tags.
pub(super) fn create(path: &str, spec: Arc<ValidSpec>, token: &str) -> Write {
    let tags: Value = json!([{"key": "team", "value": "ö \" \\ \u{1F980}"}]);
    Write {
        path: ResourcePath::parse(path).unwrap(),
        action: Action::Create { spec, tags: mesh::validate::tags(&tags).unwrap() },
        if_version: Some(0),
        token: ClientToken::parse(token).ok(),
    }
}

/// Creates one resource of each kind with a token, then updates the mesh with and without a spec.
pub(super) fn shop() -> Vec<Write> {
    let paths = [
        "mesh/m",
        "mesh/m/virtualNode/n0",
        "mesh/m/virtualRouter/r0",
        "mesh/m/virtualRouter/r0/route/n0",
        "mesh/m/virtualService/s0.local",
        "mesh/m/virtualGateway/g0",
        "mesh/m/virtualGateway/g0/gatewayRoute/n0",
    ];
    let mut writes: Vec<Write> =
        paths.iter().map(|path| create(path, spec(&ResourcePath::parse(path).unwrap(), 0), "create")).collect();
    let updates = [(Some(1), "update"), (None, "keep")];
    writes.extend(updates.map(|(variant, token)| {
        let path = ResourcePath::parse("mesh/m").unwrap();
        let spec = variant.map(|variant| spec(&path, variant));
        Write { action: Action::Update { spec }, if_version: None, ..create("mesh/m", self::spec(&path, 0), token) }
    }));
    writes
}

/// Executes writes, and stores each.
pub(super) fn write_all(disk: &mut Disk, state: &mut State, writes: &[Write]) {
    for (n, write) in writes.iter().enumerate() {
        let written = state.write(write, &stamp(n)).unwrap();
        disk.commit(&written.records).unwrap();
    }
}

#[test]
fn every_kind_survives_a_restart_completely() {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, records) = open(&folder).unwrap();
    assert_eq!(records, []);
    write_all(&mut disk, &mut state, &shop());
    let port = Record::Port("mesh/m/virtualNode/n0 -> s0.local".to_owned(), Some(40_001));
    state.apply(&port);
    disk.commit(&[port]).unwrap();
    drop(disk);
    let (mut disk, records) = open(&folder).unwrap();
    assert_eq!(replayed(&records), state);
    assert!(state.resources().any(|resource| resource.written_by.is_some()));
    assert_eq!(state.counts().collect::<Vec<_>>(), ResourceKind::ALL.map(|k| (k, 1)));

    let delete = |path: &str| Write {
        action: Action::Delete,
        if_version: None,
        token: None,
        ..create(path, spec(&ResourcePath::parse("mesh/m").unwrap(), 0), "t")
    };
    write_all(&mut disk, &mut state, &[delete("mesh/m/virtualGateway/g0/gatewayRoute/n0")]);
    let port = Record::Port("mesh/m/virtualNode/n0 -> s0.local".to_owned(), None);
    state.apply(&port);
    disk.commit(&[port]).unwrap();
    drop(disk);
    assert_eq!(replayed(&open(&folder).unwrap().1), state);
}

#[test]
fn a_spec_is_restored_with_the_order_of_its_members() {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, _) = open(&folder).unwrap();
    let path = ResourcePath::parse("mesh/m/virtualNode/n").unwrap();
    let sent = json!({
        "serviceDiscovery": {"dns": {"responseType": "ENDPOINTS", "hostname": "n.local"}},
        "logging": {"accessLog": {"file": {"path": "ü \" \\ \n \u{1F980}"}}},
        "backends": [],
        "listeners": [{"portMapping": {"protocol": "http", "port": 80}}],
    });
    let text = sent.to_string();
    let spec = ValidSpec::parse(&path, sent).unwrap();
    let mesh = ResourcePath::parse("mesh/m").unwrap();
    let writes = [create("mesh/m", self::spec(&mesh, 0), "t"), create("mesh/m/virtualNode/n", Arc::new(spec), "t")];
    write_all(&mut disk, &mut state, &writes);
    drop(disk);
    let restored = replayed(&open(&folder).unwrap().1);
    assert_eq!(restored.find(&path).unwrap().spec.value().to_string(), text);
}

#[test]
fn spec_that_is_older_than_a_rule_is_read_after_an_upgrade() {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, _) = open(&folder).unwrap();
    let path = ResourcePath::parse("mesh/m/virtualNode/n").unwrap();
    let stored = json!({
        "serviceDiscovery": {"dns": {"hostname": "no host name"}},
        "listeners": [{"portMapping": {"protocol": "http", "port": 80}}],
    });
    assert!(ValidSpec::parse(&path, stored.clone()).is_err());
    let spec = ValidSpec::stored(&path, stored.clone());
    let mesh = ResourcePath::parse("mesh/m").unwrap();
    let writes = [create("mesh/m", self::spec(&mesh, 0), "t"), create("mesh/m/virtualNode/n", Arc::new(spec), "t")];
    write_all(&mut disk, &mut state, &writes);
    drop(disk);
    assert_eq!(*replayed(&open(&folder).unwrap().1).find(&path).unwrap().spec.value(), stored);
}

/// A folder that version 0.1.0 wrote before the store had a log: a mesh (updated), a node, a router and a route.
#[test]
fn store_of_an_earlier_release_is_opened() {
    let mut file = Vec::new();
    let packed = &include_bytes!("format-1.redb.deflate")[..];
    std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(packed), &mut file).unwrap();
    let folder = Scratch::with(&[("meshwarden.redb".to_owned(), file)].into());
    let (mut disk, records) = open(&folder).unwrap();
    let mut state = replayed(&records);
    let versions: Vec<(String, u64)> =
        state.resources().map(|resource| (resource.path.to_string(), resource.version)).collect();
    let expected = [
        ("mesh/m", 2),
        ("mesh/m/virtualNode/n", 1),
        ("mesh/m/virtualRouter/r", 1),
        ("mesh/m/virtualRouter/r/route/all", 1),
    ];
    assert_eq!(versions, expected.map(|(path, version)| (path.to_owned(), version)));
    let node = state.find(&ResourcePath::parse("mesh/m/virtualNode/n").unwrap()).unwrap();
    assert_eq!(node.spec.value()["listeners"][0]["healthCheck"]["port"], 8080);
    assert!(state.resources().all(|resource| resource.spec.spec().is_some() && resource.written_by.is_none()));

    // A request with a client token of then is still known, and the store is written on.
    let path = ResourcePath::parse("mesh/m").unwrap();
    let spec = Arc::new(ValidSpec::parse(&path, json!({"egressFilter": {"type": "DROP_ALL"}})).unwrap());
    let repeated = Write {
        path: path.clone(),
        action: Action::Update { spec: Some(spec) },
        if_version: None,
        token: ClientToken::parse("d").ok(),
    };
    assert_eq!(state.write(&repeated, &stamp(1)).unwrap().change, None);
    write_all(&mut disk, &mut state, &[Write { token: ClientToken::parse("e").ok(), ..repeated }]);
    drop(disk);
    assert_eq!(replayed(&open(&folder).unwrap().1), state);
    assert_eq!(state.find(&path).unwrap().version, 3);
}

/// What a newer release may accept, and an older one may have accepted: nothing stops a replica at an entry.
#[test]
fn stored_spec_is_never_refused_and_never_changed() {
    let path = ResourcePath::parse("mesh/m/virtualNode/n").unwrap();
    for (stored, is_readable) in [
        (
            json!({"listeners": [{"portMapping": {"protocol": "http", "port": 80}, "healthCheck": {"path": "/"}}]}),
            false,
        ),
        (json!({"newMember": {"a": null}, "backends": null}), true),
        (json!({"listeners": [{"portMapping": {"protocol": "quic", "port": 80}}]}), true),
        (json!({"listeners": [{"portMapping": {"protocol": "http", "port": 99_999_999}}]}), false),
        (json!({"listeners": "text"}), false),
        (json!(5), false),
    ] {
        let spec = Arc::new(ValidSpec::stored(&path, stored.clone()));
        let resource = crate::state::Resource::created(path.clone(), spec, Tags::default(), &stamp(1));
        let record = Record::Resource(Arc::new(resource));
        let entry = super::encoding::encode(&record).unwrap();
        let value = entry.value.clone().unwrap();
        let decoded = super::encoding::decode(entry.table, &entry.key, &value).unwrap();
        assert_eq!(decoded, record, "{stored}");
        assert_eq!(super::encoding::encode(&decoded).unwrap(), entry, "{stored}");
        let Record::Resource(resource) = decoded else { unreachable!("it is a resource") };
        assert_eq!(resource.spec.value().to_string(), stored.to_string());
        if is_readable {
            assert!(resource.spec.spec().is_some(), "{stored}");
        }
    }
}

#[test]
fn digest_of_a_state_follows_every_record() {
    let mut state = State::new(Quotas::default());
    let mut digest = super::Digest::default();
    for (n, write) in shop().iter().enumerate() {
        let before = state.clone();
        let written = state.write(write, &stamp(n)).unwrap();
        // The same key twice in one group of records.
        let port = |port| Record::Port("p".to_owned(), Some(port));
        let records: Vec<Record> = written.records.into_iter().chain([port(1), port(2)]).collect();
        state.apply(&port(2));
        digest = digest.after(&before, &records).unwrap();
        assert_eq!(digest, super::Digest::of_state(&state).unwrap(), "after write {n}");
    }
    let removed = [Record::Port("p".to_owned(), None), Record::Forgotten(0), Record::Forgotten(0)];
    digest = digest.after(&state, &removed).unwrap();
    for record in &removed {
        state.apply(record);
    }
    assert_eq!(digest, super::Digest::of_state(&state).unwrap());
}

#[test]
fn lower_quotas_remove_no_resource() {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, _) = open(&folder).unwrap();
    write_all(&mut disk, &mut state, &shop());
    drop(disk);
    let none = Quotas::default().with("meshes-per-account=0".parse().unwrap());
    let (_disk, records) = open(&folder).unwrap();
    let mut restored = State::new(none);
    for record in &records {
        restored.apply(record);
    }
    assert_eq!(restored.resources().collect::<Vec<_>>(), state.resources().collect::<Vec<_>>());
    let refused =
        restored.write(&create("mesh/other", spec(&ResourcePath::parse("mesh/m").unwrap(), 0), "t"), &stamp(0));
    assert_eq!(refused.unwrap_err().error_type().name(), "LimitExceededException");
}

#[test]
fn forgotten_answers_are_removed_from_the_store() {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, _) = open(&folder).unwrap();
    write_all(&mut disk, &mut state, &shop());
    let oldest = [Record::Forgotten(0), Record::Forgotten(1)];
    disk.commit(&oldest).unwrap();
    for record in &oldest {
        state.apply(record);
    }
    drop(disk);
    let (_disk, records) = open(&folder).unwrap();
    assert_eq!(records.len(), state.records().len());
    assert_eq!(replayed(&records), state);
}

#[test]
fn a_restart_of_the_storage_keeps_exactly_the_given_records() {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, _) = open(&folder).unwrap();
    write_all(&mut disk, &mut state, &shop());
    disk.commit(&[Record::Port("in no state".to_owned(), Some(1))]).unwrap();
    let mut before = folder.files();
    disk.restart(&state.records()).unwrap();
    // A crash after the store was replaced, and before the commit was recorded as acknowledged.
    before.extend(folder.files().into_iter().filter(|(name, _)| name == "meshwarden.redb"));
    assert_eq!(replayed(&open(&Scratch::with(&before)).unwrap().1), state);
    let port = Record::Port("after".to_owned(), Some(2));
    state.apply(&port);
    disk.commit(&[port]).unwrap();
    drop(disk);
    assert_eq!(replayed(&open(&folder).unwrap().1), state);
}

#[test]
fn a_folder_is_used_by_one_process_at_a_time() {
    let folder = Scratch::new();
    let (disk, _) = open(&folder).unwrap();
    let refused = open(&folder).unwrap_err().to_string();
    assert!(refused.contains("another process") && refused.contains(&folder.path().display().to_string()), "{refused}");
    drop(disk);
    open(&folder).unwrap();
}

#[test]
fn a_store_of_another_realm_is_refused_with_the_required_settings() {
    let folder = Scratch::new();
    drop(open(&folder).unwrap());
    let other = Realm::new(AccountId::parse("210987654321").unwrap(), Region::parse("eu-west-1").unwrap());
    let before = folder.files();
    let refused = Disk::open(folder.path(), &other).unwrap_err().to_string();
    assert!(refused.contains("--account 123456789012 --region eu-west-1"), "{refused}");
    assert_eq!(folder.files(), before);
}
