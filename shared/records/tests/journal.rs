//! Journal entries of both formats.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use records::{Function, JournalBody, Layout, ObservedRef, OutcomeEntry, PlanEntry, RawObservation, replay};
use serde_json::{Value, json};

fn read(id: &str, body: &Value) -> JournalBody {
    JournalBody::read(id, body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[test]
fn kind_of_an_entry_follows_from_its_members_and_its_id() {
    let flat = json!({ "function": "route-failover", "resource": "r", "reason": "Failover", "facts": {}, "text": "t",
        "plan": null, "observed": { "now": "x" } });
    assert!(matches!(read("3-Failover", &flat), JournalBody::Decided { decisions, .. } if decisions.len() == 1));
    assert!(matches!(read("p1-begun", &flat), JournalBody::Begun { function: Function::RouteFailover, .. }));
    let ended = json!({ "plan": "p1", "outcome": { "outcome": "Applied", "version": 4 } });
    let JournalBody::Ended { plan, outcome } = read("p1-ended", &ended) else { panic!("{ended}") };
    assert_eq!((plan.as_str(), outcome), ("p1", OutcomeEntry::Applied { version: Some(4) }));
    let held = json!({ "function": "meshwarden", "resource": "r", "reason": "PersonHeld",
        "facts": { "by": "dana", "why": "x" }, "text": "t", "plan": null });
    let JournalBody::Operator { command, by, decision } = read("2-PersonHeld", &held) else { panic!("{held}") };
    assert_eq!((command.as_str(), by.as_str(), decision.reason.as_str()), ("hold", "dana", "PersonHeld"));
    let restored = read("p1-begun", &json!({ "function": "meshwarden", "resource": "r", "reason": "PersonRestored" }));
    assert!(matches!(restored, JournalBody::Operator { command, .. } if command == "restore"));
    let list = json!({ "function": "change-audit", "decisions": [] });
    assert!(matches!(read("x", &list), JournalBody::Decided { decisions, observed: None, .. } if decisions.is_empty()));
    let later = read("x", &json!({ "function": "a-later-function", "decision": { "resource": "r", "reason": "Step" } }));
    assert_eq!(later.function(), Some(&Function::Unknown("a-later-function".to_owned())));
}

#[test]
fn newer_or_malformed_entry_is_an_error_that_names_the_place() {
    for (body, part) in [
        (json!({ "format": 2, "entry": "split" }), "entry.format: a newer version wrote it: format 2"),
        (json!({ "format": "x" }), "entry.format: "),
        (json!({ "function": "route-failover", "reason": "Failover" }), "resource"),
        (json!({ "function": "tag-compliance", "decisions": [{ "resource": 7 }] }), "entry.decisions"),
        (json!({ "outcome": { "outcome": "Applied" } }), "plan"),
        (json!({ "format": 1, "entry": "seen" }), "entry"),
        (json!([]), "entry"),
    ] {
        let error = JournalBody::read("1", &body).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn plan_and_outcome_of_a_later_version_are_kept() {
    let body = json!({ "function": "tag-compliance", "decision": { "resource": "r", "decision": "act", "reason": "Mends",
        "facts": {}, "plan": { "shape": "new" }, "outcome": { "outcome": "Deferred", "until": 1 } } });
    let entry = read("p-begun", &body);
    let decision = &entry.decisions()[0];
    assert_eq!(decision.plan, Some(PlanEntry::Unknown(json!({ "shape": "new" }))));
    assert_eq!(decision.outcome, Some(OutcomeEntry::Unknown(json!({ "outcome": "Deferred", "until": 1 }))));
    assert_eq!(entry.to_format_0(Layout::Single), body);
}

#[test]
fn outcomes_of_all_functions_are_known() {
    for outcome in [
        json!({ "outcome": "WouldApply" }),
        json!({ "outcome": "WouldApply", "watching": ["shop"] }),
        json!({ "outcome": "Applied" }),
        json!({ "outcome": "Applied", "version": 4 }),
        json!({ "outcome": "AlreadyInPlace" }),
        json!({ "outcome": "InProgress" }),
        json!({ "outcome": "Superseded" }),
        json!({ "outcome": "Refused", "refusal": "budget-spent" }),
        json!({ "outcome": "Overwrote", "version": 5 }),
        json!({ "outcome": "Failed", "error": "e" }),
        json!({ "outcome": "Failed", "error": "e", "mayHeal": true }),
        json!({ "outcome": "Failed", "error": "e", "mayHeal": false, "kind": "denied" }),
        json!({ "outcome": "OutOfTime" }),
    ] {
        let read = OutcomeEntry::from(outcome.clone());
        assert_eq!(read.name(), outcome["outcome"].as_str(), "{outcome}");
        assert_eq!(json!(read), outcome);
    }
}

#[test]
fn place_of_an_observation_is_read_and_written() {
    let at = json!({ "at": "s3://reports/mw/observations/mesh/shop/1.json" });
    let observed = ObservedRef::from_format_0(at.clone());
    assert_eq!(observed.object_name(), Some("observations/mesh/shop/1.json"));
    assert_eq!(observed.to_format_0(), at);
    assert_eq!(ObservedRef::from_format_0(json!({ "at": "s3://reports/1.json" })).object_name(), None);
    let lost = ObservedRef::from_format_0(json!({ "lost": "denied" }));
    assert_eq!(lost.object_name(), None);
    assert_eq!(lost, ObservedRef::Lost { error: "denied".to_owned() });
}

#[test]
fn entry_without_a_decider_is_not_replayed() {
    let observation = RawObservation::from(json!({ "now": "soon" }));
    let error = |body: Value| replay(&read("1", &body), &observation).unwrap_err().to_string();
    let flat = |function: &str| json!({ "function": function, "resource": "r", "reason": "X" });
    assert!(error(flat("change-audit")).contains("change-audit records no observations"));
    assert!(error(flat("route-failover")).starts_with("observed.now: "));
    assert!(error(json!({ "plan": "p", "outcome": { "outcome": "Applied" } })).contains("the end of a change"));
}
