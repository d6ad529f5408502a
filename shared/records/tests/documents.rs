//! Documents of both formats, and documents that must not be read.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use decisions::failover::{Memory, NodeRecord, Phase, RouteRecord};
use decisions::rotation;
use mesh::name::{MeshName, RouteId, VirtualNodeName};
use records::{
    AuditRecord, DocumentError, DocumentRecord, Message, MessageContent, Notice, Reported, RosterRecord, StateKey,
    SweepRecord, Urgency, certificate_memory, read_document, read_record, route_memory, write_record,
};
use rules::compliance::ComplianceRecord;
use serde_json::{Value, json};

fn route_key() -> StateKey {
    StateKey::route(&RouteId::parse("shop/recs/main").unwrap())
}

fn mesh_key(function: &str) -> StateKey {
    StateKey::mesh(function, &MeshName::parse("shop").unwrap())
}

/// A document as the first version wrote it, with a drained node.
fn first_route() -> Value {
    json!({
        "uid": "u1", "version": 3,
        "split": [{ "virtualNode": "v1", "weight": 0 }, { "virtualNode": "v2", "weight": 100 }],
        "shift": {
            "restore": { "epoch": 1, "taken": "2026-10-05T12:00:00Z",
                "split": [{ "virtualNode": "v1", "weight": 50 }, { "virtualNode": "v2", "weight": 50 }] },
            "phases": { "v1": { "phase": "drained", "since": "2026-10-05T12:00:00Z" } },
            "unplaced": 0,
        },
        "intent": null, "edit": null, "drains": { "v1": ["2026-10-05T12:00:00Z"] }, "epoch": 1,
        "staleTag": false, "told": null,
    })
}

/// Reads a document of one kind, and gives the error.
type Read = fn(&StateKey, &Value) -> Option<DocumentError>;

/// The document in format 1.
fn format_1<R: DocumentRecord>(key: &StateKey, stored: &Value) -> Value {
    serde_json::to_value(read_document::<R>(key, stored).unwrap()).unwrap()
}

#[test]
fn route_of_the_first_version_is_read() {
    for explicit in [false, true] {
        let mut stored = first_route();
        if explicit {
            stored["format"] = json!(1);
        }
        let record: RouteRecord = read_record(&route_key(), &stored).unwrap();
        assert_eq!(record.format, 1);
        let since = "2026-10-05T12:00:00Z".parse().unwrap();
        assert_eq!(record.shift.phases[&VirtualNodeName::parse("v1").unwrap()], Phase::drained(since));
        let written = write_record(&record);
        for added in ["format", "paged", "trials", "watch"] {
            assert_eq!(written.get(added), None, "{added} is absent without a value, so that older versions read it");
        }
    }
}

#[test]
fn members_of_a_newer_version_survive_at_the_top_and_are_ignored_in_parts() {
    let mut newer = first_route();
    newer["lastWriter"] = "0.9".into();
    newer["shift"]["mood"] = 1.into();
    newer["shift"]["phases"]["v1"]["colour"] = "blue".into();
    newer["told"] = json!({ "code": "Failover", "since": "2026-10-05T12:00:00Z", "repeats": 0, "paged": null,
        "channel": "sms" });
    let record: RouteRecord = read_record(&route_key(), &newer).unwrap();
    assert_eq!(record.last_notification.as_ref().unwrap().code, "Failover");
    assert_eq!(write_record(&record)["lastWriter"], "0.9");
    let upgraded = format_1::<RouteRecord>(&route_key(), &newer);
    assert_eq!(upgraded["state"]["lastWriter"], "0.9");
    let again: RouteRecord = read_record(&route_key(), &upgraded).unwrap();
    assert_eq!(again, record);
}

#[test]
fn newer_format_and_malformed_document_are_never_read_as_empty() {
    let newer = json!({ "format": 2, "state": "elsewhere" });
    let reads: [(&str, Read); 8] = [
        ("route", |key, stored| read_record::<RouteRecord>(key, stored).err()),
        ("node", |key, stored| read_record::<NodeRecord>(key, stored).err()),
        ("certificate", |key, stored| read_record::<rotation::RotationRecord>(key, stored).err()),
        ("compliance", |key, stored| read_record::<ComplianceRecord>(key, stored).err()),
        ("sweep", |key, stored| read_record::<SweepRecord>(key, stored).err()),
        ("audit", |key, stored| read_record::<AuditRecord>(key, stored).err()),
        ("roster", |key, stored| read_record::<RosterRecord>(key, stored).err()),
        ("failures", |key, stored| read_record::<mesh::failures::Failures>(key, stored).err()),
    ];
    for (name, read) in reads {
        let key = StateKey::meshes(name);
        let error = read(&key, &newer).unwrap();
        assert!(matches!(error, DocumentError::NewerFormat { format: 2, known: 1, .. }), "{name}: {error}");
        assert_eq!(error.reason(), "NewerFormat");
        for malformed in [json!([]), json!(null), json!({ "format": "x" }), json!({ "format": 1, "state": 7 })] {
            let error = read(&key, &malformed).unwrap();
            assert_eq!(error.reason(), "RecordUnreadable", "{name}: {malformed}");
            assert!(error.remedy().contains(&format!("meshwarden forget {name} ")), "{}", error.remedy());
        }
    }
    let error = read_record::<SweepRecord>(&StateKey::meshes("f"), &json!({ "parts": "many" })).unwrap_err();
    assert!(error.to_string().starts_with("document `f` cannot be read: parts: "), "{error}");
    // Only routes and certificates had format 1 before it had a state.
    let audit = read_record::<AuditRecord>(&StateKey::meshes("f"), &json!({ "format": 1, "open": [] })).unwrap_err();
    assert_eq!(audit.reason(), "RecordUnreadable");
}

#[test]
fn record_of_a_newer_format_differs_from_a_malformed_one() {
    let mut newer = first_route();
    newer["format"] = json!(3);
    assert!(matches!(route_memory(&route_key(), &newer), Memory::Unreadable(why) if why.contains("format 3")));
    newer["format"] = json!(2);
    let key = StateKey::certificate("sds:pay");
    assert_eq!(certificate_memory(&key, &newer), rotation::RotationMemory::Newer { format: 2 });
    assert!(matches!(certificate_memory(&key, &json!({ "leaf": 7 })), rotation::RotationMemory::Unreadable(_)));
    assert!(matches!(certificate_memory(&key, &json!({ "leaf": null })), rotation::RotationMemory::Record(_)));
}

/// A route with a rollout at 25 % and a drained node.
fn layered_route() -> Value {
    let mut stored = first_route();
    stored["layers"] = json!({
        "declared": [{ "virtualNode": "v1", "weight": 100 }, { "virtualNode": "v2", "weight": 0 }],
        "rollout": { "id": "r1", "moves": [{ "from": "v1", "to": "v2" }], "percent": 25,
            "since": "2026-10-05T12:00:00Z", "attendBy": "2026-10-05T12:05:00Z" },
    });
    stored
}

/// A version that does not know layers must not act on a route with a rollout or drill, and reads it again afterwards.
#[test]
fn route_with_layers_has_format_2_until_they_end() {
    let key = route_key();
    let record: RouteRecord = read_record(&key, &layered_route()).unwrap();
    assert_eq!(record.declared().weights(), [100, 0]);
    let written = write_record(&record);
    assert_eq!(written["format"], 2);
    let again: RouteRecord = read_record(&key, &written).unwrap();
    assert_eq!(again.layers, record.layers);
    let document = read_document::<RouteRecord>(&key, &written).unwrap();
    assert_eq!(document.state.layers, record.layers);
    let back: RouteRecord = read_record(&key, &serde_json::to_value(&document).unwrap()).unwrap();
    assert_eq!((back.layers.clone(), write_record(&back)), (record.layers.clone(), written));

    let mut ended = again;
    ended.layers.end_rollout(decisions::weights::EndReason::RolledBack, "2026-10-05T12:10:00Z".parse().unwrap());
    let written = write_record(&ended);
    assert_eq!(written.get("format"), None, "older versions act on the route again");
    assert_eq!(written["layers"]["ended"][0]["reason"], "RolledBack");
    assert_eq!(write_record(&read_record::<RouteRecord>(&key, &written).unwrap()), written);
}

/// An intent that starts a rollout already keeps older versions away.
#[test]
fn intent_with_layers_has_format_2() {
    let key = route_key();
    let mut stored = first_route();
    stored["intent"] = json!({
        "plan": "p", "to": stored["split"], "version": 3, "drains": {},
        "then": { "restore": null, "phases": {}, "unplaced": 0 }, "layers": layered_route()["layers"],
    });
    let record: RouteRecord = read_record(&key, &stored).unwrap();
    let written = write_record(&record);
    assert_eq!(written["format"], 2);
    let document = serde_json::to_value(read_document::<RouteRecord>(&key, &written).unwrap()).unwrap();
    let back: RouteRecord = read_record(&key, &document).unwrap();
    assert_eq!(back.intent, record.intent);
}

/// A later version is rolled back while messages wait that format 0 has no member for: they survive this version's writes.
#[test]
fn messages_of_format_1_survive_a_write_of_format_0() {
    let key = route_key();
    let mut document = read_document::<RouteRecord>(&key, &first_route()).unwrap();
    let notice = Notice { urgency: Urgency::Page, subject: "s".to_owned(), body: "b".to_owned() };
    let message = |id: &str, content| Message { id: id.to_owned(), at: None, claimed_until: None, content };
    document.outbox = vec![
        message("1", MessageContent::Notice(notice)),
        message("2", MessageContent::Change { code: "Failover".to_owned(), text: "t".to_owned() }),
        message("3", MessageContent::Change { code: "Restore".to_owned(), text: "u".to_owned() }),
    ];
    let pages = BTreeMap::from([("Muted v1".to_owned(), "2026-10-05T12:00:00Z".parse().unwrap())]);
    document.reported.insert("rollout".to_owned(), Reported { pages, ..Reported::default() });
    let stored = serde_json::to_value(&document).unwrap();
    let record: RouteRecord = read_record(&key, &stored).unwrap();
    assert_eq!(record.owed.as_ref().unwrap().code, "Failover", "format 0 has room for one");
    let again = read_document::<RouteRecord>(&key, &write_record(&record)).unwrap();
    let ids: Vec<&str> = again.outbox.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["1", "3", "change Failover"]);
    assert_eq!(again.reported, document.reported);
}

/// A document of format 1 with members that format 0 cannot hold is a hold.
#[test]
fn format_1_that_format_0_cannot_hold_is_not_read() {
    let key = mesh_key("compliance-sweep");
    let mut stored = format_1::<SweepRecord>(&key, &json!({ "sweptAt": "2026-11-20T06:00:00Z", "findings": {} }));
    assert!(read_record::<SweepRecord>(&key, &stored).is_ok());
    stored["intents"] = json!({ "mesh/shop": { "plan": "p" } });
    let error = read_record::<SweepRecord>(&key, &stored).unwrap_err();
    assert!(error.to_string().contains("format 0 cannot hold"), "{error}");
}

#[test]
fn sweep_counts_findings_by_severity_unless_they_are_in_parts() {
    let key = mesh_key("compliance-sweep");
    let finding = |severity: &str| {
        json!({ "firstSeen": "2026-11-20T06:00:00Z", "rule": "node-unused", "severity": severity,
            "resource": "mesh/shop/virtualNode/cart-v1" })
    };
    let findings = json!({ "0000000000000001": finding("high"), "0000000000000002": finding("low"),
        "0000000000000003": finding("low") });
    let stored = json!({ "sweptAt": "2026-11-20T06:00:00Z", "findings": findings });
    assert_eq!(format_1::<SweepRecord>(&key, &stored)["state"]["counts"], json!({ "high": 1, "low": 2 }));
    let split = json!({ "sweptAt": "2026-11-20T06:00:00Z", "parts": 16 });
    assert_eq!(format_1::<SweepRecord>(&key, &split)["state"].get("counts"), None);
    let reset = read_document::<SweepRecord>(&key, &json!({})).unwrap();
    assert_eq!(reset.state.counts, None, "a mesh that was never swept has no counts");
}
