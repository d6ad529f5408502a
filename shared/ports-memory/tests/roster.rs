//! The roster of known meshes in the state table.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh::name::MeshName;
use ports::{Note, PortErrorKind, Roster, StateKey, StateStore};
use ports_memory::MemoryPorts;
use serde_json::json;

#[tokio::test]
async fn meshes_come_and_go_and_cost_a_write_only_then() {
    let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
    let ports = MemoryPorts::at(now);
    let roster = Roster { state: &ports.state, function: "f" };
    let other = Roster { state: &ports.state, function: "g" };
    let set = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<MeshName>>();
    let notes = || ports.faults.calls().iter().filter(|call| call.name == "note").count();
    assert_eq!(roster.add(&set(&["a", "b"]), now).await.unwrap(), set(&["a", "b"]));
    assert_eq!(roster.add(&set(&["b"]), now).await.unwrap(), set(&["a", "b"]));
    roster.remove(&"c".parse().unwrap(), now).await.unwrap();
    assert_eq!(notes(), 1);
    roster.remove(&"a".parse().unwrap(), now).await.unwrap();
    assert_eq!(roster.add(&set(&["c"]), now).await.unwrap(), set(&["b", "c"]));
    assert_eq!(notes(), 3);
    assert_eq!(other.add(&set(&[]), now).await.unwrap(), set(&[]), "each function knows its own");
}

#[tokio::test]
async fn unreadable_roster_is_an_error_and_stays_as_it_is() {
    let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
    for document in
        [json!({ "meshes": 7 }), json!({ "meshes": ["not/a/name"] }), json!({ "format": 3 }), json!(null), json!([])]
    {
        let ports = MemoryPorts::at(now);
        let key = StateKey::meshes("f");
        let note = Note { key: key.clone(), revision: 0, now, document: document.clone(), journal: None };
        ports.state.note(&note).await.unwrap();
        let roster = Roster { state: &ports.state, function: "f" };
        let error = roster.add(&["a".parse().unwrap()].into(), now).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Other, "{error}");
        assert!(error.to_string().contains("document `f`"), "{error}");
        assert_eq!(ports.state.stored(&key).unwrap().document, document);
    }
}
