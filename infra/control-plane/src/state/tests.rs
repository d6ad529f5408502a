//! Properties of every sequence of writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::resource::Tag;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::quotas::{Quota, Quotas};

/// Paths with few names, so that writes collide.
fn paths() -> impl Strategy<Value = ResourcePath> {
    prop_oneof![
        (0..2).prop_map(|m| format!("mesh/m{m}")),
        (0..2, 0..3).prop_map(|(m, n)| format!("mesh/m{m}/virtualNode/n{n}")),
        (0..2, 0..2).prop_map(|(m, r)| format!("mesh/m{m}/virtualRouter/r{r}")),
        (0..2, 0..2, 0..2).prop_map(|(m, r, n)| format!("mesh/m{m}/virtualRouter/r{r}/route/n{n}")),
        (0..2, 0..2).prop_map(|(m, s)| format!("mesh/m{m}/virtualService/s{s}.local")),
        (0..2, 0..2).prop_map(|(m, g)| format!("mesh/m{m}/virtualGateway/g{g}")),
        (0..2, 0..2, 0..2).prop_map(|(m, g, n)| format!("mesh/m{m}/virtualGateway/g{g}/gatewayRoute/n{n}")),
    ]
    .prop_map(|path| ResourcePath::parse(&path).unwrap())
}

/// One of a few valid specs for the kind.
pub(crate) fn spec(path: &ResourcePath, variant: u8) -> Arc<ValidSpec> {
    let n = variant % 3;
    let spec = match path.kind() {
        ResourceKind::Mesh if n == 0 => json!({}),
        ResourceKind::Mesh => json!({"egressFilter": {"type": "DROP_ALL"}}),
        ResourceKind::VirtualNode | ResourceKind::VirtualRouter => json!({}),
        ResourceKind::VirtualGateway => {
            json!({"listeners": [{"portMapping": {"port": 80 + n, "protocol": "http"}}]})
        }
        ResourceKind::Route => json!({"tcpRoute": {"action": {"weightedTargets": [
            {"virtualNode": format!("n{n}"), "weight": 1}]}}}),
        ResourceKind::VirtualService => match n {
            0 => json!({}),
            1 => json!({"provider": {"virtualNode": {"virtualNodeName": "n1"}}}),
            _ => json!({"provider": {"virtualRouter": {"virtualRouterName": "r1"}}}),
        },
        ResourceKind::GatewayRoute => {
            json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target":
            {"virtualService": {"virtualServiceName": format!("s{}.local", n % 2)}}}}})
        }
    };
    Arc::new(ValidSpec::parse(path, spec).unwrap())
}

pub(crate) fn writes() -> impl Strategy<Value = Write> {
    let if_version = prop_oneof![4 => Just(None), 1 => (0..4_u64).prop_map(Some)];
    let token = prop_oneof![2 => Just(None), 1 => (0..3).prop_map(|n| ClientToken::parse(&format!("t{n}")).ok())];
    (paths(), 0..8_u8, any::<u8>(), if_version, token).prop_map(|(path, action, variant, if_version, token)| {
        let spec = spec(&path, variant);
        let (action, token) = match action {
            0..4 => (Action::Create { spec, tags: Vec::new() }, token),
            4 => (Action::Update { spec: Some(spec) }, token),
            5 => (Action::Tag(tags(&[(&format!("k{variant}"), "v")])), None),
            6 => (Action::Untag(BTreeSet::from([format!("k{variant}")])), None),
            _ => (Action::Delete, None),
        };
        Write { path, action, if_version, token }
    })
}

pub(crate) fn stamp(n: usize) -> Stamp {
    Stamp {
        now: Timestamp::from_second(1_700_000_000 + i64::try_from(n).unwrap()).unwrap(),
        uid: Uuid::from_u128(u128::try_from(n).unwrap()),
        caller: (!n.is_multiple_of(3)).then(|| format!("AKID{}", n % 3).into()),
    }
}

pub(crate) fn quotas() -> Quotas {
    let quotas = ["meshes-per-account=2", "virtual-nodes-per-mesh=2", "routes-per-virtual-router=1"];
    quotas.into_iter().fold(Quotas::default(), |quotas, setting| quotas.with(setting.parse().unwrap()))
}

/// Asserts that every reference and parent exists, and no quota is exceeded.
fn assert_consistent(state: &State) {
    for (collection, members) in &state.collections {
        assert!(!members.is_empty());
        assert!(state.quotas.limit(Quota::on(collection.kind())).is_none_or(|limit| members.len() <= limit));
        assert!(collection.parent().is_none_or(|parent| state.find(&parent).is_some()));
        for (name, resource) in members.iter() {
            assert_eq!(resource.path, collection.member(name).unwrap());
            assert_eq!(resource.status, Status::Active);
            for target in resource.spec.references() {
                assert!(state.find(target).is_some(), "{} refers to {target}", resource.path);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_writes_leave_a_consistent_state(writes in prop::collection::vec(writes(), 1..120)) {
        let mut state = State::new(quotas());
        let mut accepted = Vec::new();
        let mut applied = State::new(quotas());
        for (n, write) in writes.iter().enumerate() {
            let before = state.clone();
            match state.write(write, &stamp(n)) {
                Err(_) => prop_assert_eq!(&state, &before, "a refused write changes nothing"),
                Ok(WriteOutcome { change: None, .. }) => prop_assert_eq!(&state, &before, "a repeated write changes nothing"),
                Ok(WriteOutcome { change: Some(change), records, .. }) => {
                    for record in &records {
                        applied.apply(record);
                    }
                    accepted.push((write, stamp(n)));
                    let version = |state: &State| state.find(&write.path).map_or(0, |found| found.version);
                    let step = match change.operation {
                        Operation::Created | Operation::Updated | Operation::Deleted => 1,
                        Operation::Retagged => 0,
                    };
                    prop_assert_eq!(change.version, version(&before) + step);
                    if let Some(expected) = write.if_version {
                        prop_assert_eq!(expected, version(&before));
                    }
                }
            }
            assert_consistent(&state);
        }
        prop_assert_eq!(&state, &applied, "the records of the writes lead to the same state");
        prop_assert_eq!(&state, &from(&state.records(), quotas()), "the records of the state lead to the same state");
        let mut replayed = State::new(quotas());
        for (write, stamp) in accepted {
            replayed.write(write, &stamp).unwrap();
        }
        prop_assert_eq!(state, replayed, "the accepted writes alone lead to the same state");
    }
}

fn from(records: &[Record], quotas: Quotas) -> State {
    let mut state = State::new(quotas);
    for record in records {
        state.apply(record);
    }
    state
}

fn mesh_write(action: Action, token: &str) -> Write {
    Write {
        path: ResourcePath::parse("mesh/m").unwrap(),
        action,
        if_version: None,
        token: Some(ClientToken::parse(token).unwrap()),
    }
}

#[test]
fn old_tokens_are_forgotten_and_memory_stays_bounded() {
    let mut state = State::new(Quotas::default());
    let path = ResourcePath::parse("mesh/m").unwrap();
    let create = mesh_write(Action::Create { spec: spec(&path, 0), tags: Vec::new() }, "create");
    let mut records = state.write(&create, &stamp(0)).unwrap().records;
    let update = |n: usize| mesh_write(Action::Update { spec: Some(spec(&path, 1)) }, &format!("update-{n}"));
    for n in 1..=12_000 {
        records.extend(state.write(&update(n), &stamp(n)).unwrap().records);
    }
    assert_eq!(state.tokens.len(), 10_000);
    assert!(from(&records, Quotas::default()) == state, "the records contain the forgotten answers");
    assert_eq!(state.records().len(), 10_001);
    assert!(state.write(&update(12_000), &stamp(0)).unwrap().change.is_none(), "remembered");
    assert!(state.write(&update(2_001), &stamp(0)).unwrap().change.is_none(), "remembered");
    assert!(state.write(&update(1), &stamp(0)).unwrap().change.is_some(), "forgotten");
}

#[test]
fn large_requests_are_forgotten_sooner() {
    let mut state = State::new(Quotas::default());
    let path = ResourcePath::parse("mesh/m").unwrap();
    let create = mesh_write(Action::Create { spec: spec(&path, 0), tags: Vec::new() }, "create");
    state.write(&create, &stamp(0)).unwrap();
    let node = ResourcePath::parse("mesh/m/virtualNode/n").unwrap();
    let path = "/p".repeat(100);
    let listeners: Vec<Value> = (1..=1000)
        .map(|port| {
            json!({"portMapping": {"port": port, "protocol": "http"}, "healthCheck": {
            "protocol": "http", "path": path, "port": port, "healthyThreshold": 2, "unhealthyThreshold": 2,
            "timeoutMillis": 2000, "intervalMillis": 5000}})
        })
        .collect();
    let spec = json!({"listeners": listeners, "serviceDiscovery": {"dns": {"hostname": "n"}}});
    let large = Arc::new(ValidSpec::parse(&node, spec).unwrap());
    let write = |action, n| Write { path: node.clone(), ..mesh_write(action, &format!("t{n}")) };
    state.write(&write(Action::Create { spec: Arc::clone(&large), tags: Vec::new() }, 0), &stamp(0)).unwrap();
    for n in 1..100 {
        state.write(&write(Action::Update { spec: Some(Arc::clone(&large)) }, n), &stamp(n)).unwrap();
    }
    let count = state.tokens.len();
    assert!((10..90).contains(&count), "{count} large answers are remembered");
}

#[test]
fn writes_return_their_change() {
    let mut state = State::new(Quotas::default());
    let path = ResourcePath::parse("mesh/m").unwrap();
    let mut assert_change = |action, operation, version| {
        let write = Write { path: path.clone(), action, if_version: None, token: None };
        let written = state.write(&write, &stamp(0)).unwrap();
        assert_eq!(written.change, Some(Change { path: path.clone(), version, operation }));
    };
    assert_change(Action::Create { spec: spec(&path, 0), tags: Vec::new() }, Operation::Created, 1);
    assert_change(Action::Update { spec: Some(spec(&path, 1)) }, Operation::Updated, 2);
    assert_change(Action::Update { spec: None }, Operation::Updated, 3);
    assert_change(Action::Tag(tags(&[("k", "v")])), Operation::Retagged, 3);
    assert_change(Action::Untag(BTreeSet::from(["k".to_owned()])), Operation::Retagged, 3);
    assert_change(Action::Delete, Operation::Deleted, 4);
}

#[test]
fn version_has_the_caller_that_wrote_it() {
    let mut state = State::new(Quotas::default());
    let path = ResourcePath::parse("mesh/m").unwrap();
    let by = |caller: Option<&str>| Stamp { caller: caller.map(Arc::from), ..stamp(0) };
    let create = Action::Create { spec: spec(&path, 0), tags: Vec::new() };
    for (action, caller, expected) in [
        (create, Some("AKIDA"), Some("AKIDA")),
        (Action::Tag(tags(&[("k", "v")])), Some("AKIDB"), Some("AKIDA")),
        (Action::Update { spec: None }, Some("AKIDB"), Some("AKIDB")),
        (Action::Update { spec: Some(spec(&path, 1)) }, None, None),
    ] {
        let write = Write { path: path.clone(), action, if_version: None, token: None };
        state.write(&write, &by(caller)).unwrap();
        assert_eq!(state.find(&path).unwrap().written_by.as_deref(), expected, "{:?}", write.action);
    }
    let delete = Write { path: path.clone(), action: Action::Delete, if_version: None, token: None };
    let Answer::Resource(deleted) = state.write(&delete, &by(Some("AKIDC"))).unwrap().answer else {
        unreachable!("a deletion returns the resource")
    };
    assert_eq!(deleted.written_by.as_deref(), Some("AKIDC"));
}

fn tags(pairs: &[(&str, &str)]) -> Vec<Tag> {
    let tags: Value = pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    mesh::validate::tags(&tags).unwrap()
}
