//! A state table that the version before this crate wrote: every document and journal entry of it is read, written again
//! without a difference, converted to format 1 and back, and replayed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{FunctionRecord, NodeRecord, RouteRecord};
use decisions::rotation::RotationRecord;
use mesh::failures::Failures;
use records::{
    AuditFacts, AuditRecord, DeadLetterFacts, DeadLetterLog, DocumentRecord, DrillsRecord, FindingsPart, Function,
    JournalBody, KillSwitchLog, Layout, ObservedRef, OperatorFacts, OutcomeEntry, PlanEntry, RosterRecord,
    StandstillsRecord, StateKey, SweepRecord, read_document, read_record, replay, write_record,
};
use rules::compliance::ComplianceRecord;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct StateTable {
    documents: Vec<GoldenDocument>,
    journal: Vec<GoldenEntry>,
    /// The objects of the reports store, by name.
    observations: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct GoldenDocument {
    key: StateKey,
    document: Value,
}

#[derive(Deserialize)]
struct GoldenEntry {
    key: StateKey,
    id: String,
    body: Value,
}

fn table() -> StateTable {
    serde_json::from_str(include_str!("golden/format-0.json")).unwrap()
}

/// The kind of a document, and the check of one.
type Check = (&'static str, fn(&StateKey, &Value));

fn kind(key: &StateKey) -> Check {
    match key.as_str().split('/').collect::<Vec<_>>().as_slice() {
        ["route", ..] => ("route", check::<RouteRecord>),
        ["node", ..] => ("node", check::<NodeRecord>),
        ["certificate", ..] => ("certificate", check::<RotationRecord>),
        ["failures", _] => ("failures", check::<Failures>),
        ["standstills", _] => ("standstills", check::<StandstillsRecord>),
        ["tag-compliance", _] => ("tag-compliance mesh", check::<ComplianceRecord>),
        ["egress-compliance", _] => ("egress-compliance mesh", check::<ComplianceRecord>),
        ["compliance-sweep", _] => ("compliance-sweep mesh", check::<SweepRecord>),
        ["compliance-sweep", _, _] => ("compliance-sweep part", check::<FindingsPart>),
        ["failover-drill", _] => ("failover-drill mesh", check::<DrillsRecord>),
        ["change-audit", _] => ("change-audit mesh", check::<AuditRecord>),
        ["route-failover"] => ("route-failover memory", check::<FunctionRecord>),
        ["tag-compliance" | "egress-compliance" | "compliance-sweep" | "change-audit"] => {
            ("roster", check::<RosterRecord>)
        }
        ["kill-switch-log"] => ("kill switch log", check::<KillSwitchLog>),
        ["dead-letters-log"] => ("dead letters log", check::<DeadLetterLog>),
        other => panic!("{other:?}"),
    }
}

fn check<R: DocumentRecord>(key: &StateKey, stored: &Value) {
    let record: R = read_record(key, stored).unwrap_or_else(|error| panic!("{error}: {stored}"));
    assert_eq!(&write_record(&record), stored, "{}", key.as_str());
    let upgraded = read_document::<R>(key, stored).unwrap();
    let upgraded = serde_json::to_value(&upgraded).unwrap();
    assert_eq!(upgraded.get("format"), Some(&Value::from(1)));
    let back: R = read_record(key, &upgraded).unwrap_or_else(|error| panic!("{error}: {upgraded}"));
    assert_eq!(&write_record(&back), stored, "{} by way of {upgraded}", key.as_str());
}

#[test]
fn every_document_is_read_and_survives_both_formats() {
    let mut kinds = BTreeSet::new();
    for GoldenDocument { key, document } in table().documents {
        let (name, check) = kind(&key);
        check(&key, &document);
        kinds.insert(name);
    }
    let expected = [
        "certificate",
        "change-audit mesh",
        "compliance-sweep mesh",
        "compliance-sweep part",
        "dead letters log",
        "egress-compliance mesh",
        "failures",
        "kill switch log",
        "node",
        "roster",
        "route",
        "route-failover memory",
        "standstills",
        "tag-compliance mesh",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}

/// The place of an entry's decisions.
fn layout(body: &Value) -> Layout {
    if body.get("decisions").is_some() {
        Layout::List
    } else if body.get("decision").is_some_and(Value::is_object) {
        Layout::Single
    } else {
        Layout::Flat
    }
}

#[test]
fn every_journal_entry_is_read_and_survives_both_formats() {
    let mut kinds = BTreeSet::new();
    for GoldenEntry { key, id, body } in table().journal {
        let entry = JournalBody::read(&id, &body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(entry.to_format_0(layout(&body)), body, "{} {id}", key.as_str());
        let later = JournalBody::read(&id, &entry.to_format_1()).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(later, entry);
        let name = match &entry {
            JournalBody::Decided { function, .. } => format!("{function} decided"),
            JournalBody::Begun { function, .. } => format!("{function} begun"),
            JournalBody::Ended { outcome, .. } => {
                assert!(outcome.name().is_some(), "{body}");
                format!("ended {}", outcome.name().unwrap())
            }
            JournalBody::Operator { command, by, .. } => {
                assert!(!command.is_empty() && !by.is_empty(), "{body}");
                format!("operator {command}")
            }
        };
        kinds.insert(name);
        for decision in entry.decisions() {
            assert!(!matches!(decision.plan, Some(PlanEntry::Unknown(_))), "{body}");
            assert!(!matches!(decision.outcome, Some(OutcomeEntry::Unknown(_))), "{body}");
            match entry.function() {
                Some(Function::ChangeAudit) => drop(AuditFacts::read(decision).unwrap()),
                Some(Function::Operator) if key == StateKey::dead_letters() => {
                    assert!(!DeadLetterFacts::read(decision).unwrap().letters.is_empty());
                }
                Some(Function::Operator) => drop(OperatorFacts::read(decision).unwrap()),
                Some(_) | None => {}
            }
        }
    }
    for expected in [
        "certificate-rotation begun",
        "certificate-rotation decided",
        "change-audit decided",
        "compliance-sweep decided",
        "egress-compliance begun",
        "egress-compliance decided",
        "ended AlreadyInPlace",
        "ended Applied",
        "ended Failed",
        "ended Overwrote",
        "ended Superseded",
        "operator dead-letters drop",
        "operator dead-letters redrive",
        "operator forget",
        "operator hold",
        "operator kill off",
        "operator kill on",
        "operator release",
        "operator restore",
        "route-failover begun",
        "route-failover decided",
        "tag-compliance begun",
        "tag-compliance decided",
    ] {
        assert!(kinds.contains(expected), "{expected} is not among {kinds:?}");
    }
}

#[test]
fn every_recorded_decision_is_replayed() {
    let table = table();
    let (mut functions, mut from_store) = (BTreeSet::new(), 0);
    for GoldenEntry { key, id, body } in table.journal {
        let entry = JournalBody::read(&id, &body).unwrap();
        let observation = match entry.observed() {
            None | Some(ObservedRef::Lost { .. }) => continue,
            Some(ObservedRef::Here(observation)) => observation.clone(),
            Some(at @ ObservedRef::At { place, .. }) => {
                let name = at.object_name().unwrap_or_else(|| panic!("{place}"));
                // The table has one of the large observations.
                let Some(object) = table.observations.get(name) else { continue };
                from_store += 1;
                object.clone().into()
            }
        };
        for replay in replay(&entry, &observation).unwrap_or_else(|error| panic!("{error}: {} {id}", key.as_str())) {
            assert!(replay.is_same(), "{} {id}: {replay:?}", key.as_str());
        }
        functions.insert(entry.function().unwrap().to_string());
    }
    let expected = ["certificate-rotation", "egress-compliance", "route-failover", "tag-compliance"];
    assert_eq!(functions.into_iter().collect::<Vec<_>>(), expected);
    assert!(from_store > 0, "an observation in the reports store is replayed, too");
}
