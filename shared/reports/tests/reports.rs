//! Reports of meshes that were read, each in every format.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::edges::{Edge, edges};
use mesh::graph::Mesh;
use mesh::pack::{Evaluation, Severity, judge};
use mesh::policy::Policy;
use mesh::readers::{Surroundings, read};
use reports::sarif::{Placed, log};
use reports::{Changes, History, MeshReport, Place, SEVERITIES, asff, json};
use serde_json::{Value, json as value};

struct Judged {
    mesh: Mesh,
    edges: Vec<Edge>,
    evaluation: Evaluation,
    history: History,
    changes: Changes,
}

fn now() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

/// The meshes that the readers' tests have in every spelling.
fn fixtures() -> Vec<Judged> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mesh/tests/readers/fixtures");
    let judged = ["shop", "front", "loose"].map(|name| {
        let text = std::fs::read_to_string(folder.join(name).join("api.json")).unwrap();
        let reading = read(&text, "api.json", &Surroundings::default()).unwrap();
        let (_, mesh) = reading.meshes().pop_first().unwrap();
        judged(mesh)
    });
    judged.into()
}

fn judged(mesh: Mesh) -> Judged {
    let readings = Readings::default();
    let evaluation = judge(&mesh, &readings, &Policy::built_in().unwrap(), now());
    let edges = edges(&mesh, &readings, now());
    let mut history = History::default();
    let changes = history.update(&evaluation.findings, now());
    Judged { mesh, edges, evaluation, history, changes }
}

impl Judged {
    fn report(&self) -> MeshReport<'_> {
        let Self { mesh, edges, evaluation, history, .. } = self;
        MeshReport { mesh, edges, evaluation, history, at: now(), unread: &[] }
    }
}

#[test]
fn asff_holds_the_bounds_of_the_format() {
    let place = Place { partition: "aws".into(), region: "eu-west-1".into(), account: "123456789012".into() };
    let mut judged = fixtures().remove(2);
    judged.evaluation.findings[0].message = "x".repeat(5000);
    judged.evaluation.findings[0].facts.insert("long".into(), "y".repeat(5000).into());
    for n in 0..60 {
        judged.evaluation.findings[0].facts.insert(format!("fact {n}").into(), n.into());
    }
    let gone = judged.changes.new.remove(0);
    judged.changes.resolved.push(gone);
    let findings = asff(&judged.report(), &judged.changes, &place);
    assert_eq!(findings.len(), judged.evaluation.findings.len() + 1);
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    for finding in &findings {
        for required in
            ["SchemaVersion", "Id", "ProductArn", "GeneratorId", "AwsAccountId", "Types", "CreatedAt", "UpdatedAt"]
        {
            assert!(!finding[required].is_null(), "{required}: {finding}");
        }
        assert!((1..=256).contains(&length(&finding["Title"])));
        assert!((1..=1024).contains(&length(&finding["Description"])));
        assert_eq!(finding["Resources"][0]["Id"].as_str().unwrap().split(':').nth(2), Some("appmesh"));
        let details = finding["Resources"][0]["Details"]["Other"].as_object().unwrap();
        // Kind and path, in addition to at most fifty facts.
        assert!(details.len() <= 52 && details.values().all(|detail| length(detail) <= 1024));
        // The severities that AWS accepts; it refuses any other word.
        let label = finding["Severity"]["Label"].as_str().unwrap();
        assert!(["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL"].contains(&label), "{label}");
    }
    assert_eq!(findings.last().unwrap()["RecordState"], "ARCHIVED");
}

/// Security Hub shows as creation time when a finding was first seen, for resolved findings too.
#[test]
fn asff_dates_a_finding_by_its_history() {
    let place = Place { partition: "aws".into(), region: "eu-west-1".into(), account: "123456789012".into() };
    let mut judged = fixtures().remove(2);
    let gone = judged.changes.new.remove(0);
    judged.changes.resolved.push(gone);
    let later: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    let report = MeshReport { at: later, ..judged.report() };
    for finding in asff(&report, &judged.changes, &place) {
        let dates = ["CreatedAt", "FirstObservedAt", "UpdatedAt"].map(|member| finding[member].clone());
        assert_eq!(dates, [value!(now()), value!(now()), value!(later)], "{finding}");
        let is_active = finding["RecordState"] == "ACTIVE";
        assert_eq!(finding["LastObservedAt"], if is_active { value!(later) } else { Value::Null });
    }
}

/// A pipeline fails by the level of a result.
#[test]
fn sarif_levels_follow_severities() {
    let levels = SEVERITIES.map(|severity| {
        let mut finding = fixtures().remove(2).evaluation.findings.remove(0);
        finding.severity = severity;
        let log = log("1", &[Placed { finding: &finding, place: None, waived: false }], &[]);
        let result = &log["runs"][0]["results"][0];
        assert_eq!((&result["suppressions"], &result["properties"]["severity"]), (&Value::Null, &value!(severity)));
        assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], true);
        result["level"].as_str().unwrap().to_owned()
    });
    assert_eq!(levels, ["error", "error", "warning", "note", "note"]);
}

/// The policy may change the severity of a rule: a finding stays the same one, with its current severity.
#[test]
fn a_finding_is_as_severe_as_it_is_found_now() {
    let mut judged = fixtures().remove(2);
    let later: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    let (now_info, others) = judged.evaluation.findings.split_first_mut().unwrap();
    assert!(now_info.severity != Severity::Info && !others.is_empty());
    now_info.severity = Severity::Info;
    let id = now_info.id();
    assert!(judged.history.update(&judged.evaluation.findings, later).is_empty());
    // A finding that was not checked stays.
    let changes = judged.history.update_known(&[], later, |dated| dated.severity == Severity::Info);
    let resolved = changes.resolved.iter().find(|(resolved, _)| *resolved == id);
    assert_eq!(resolved.map(|(_, dated)| dated.first_seen), Some(now()));
    assert!(!judged.history.is_empty());
}

#[test]
fn a_finding_keeps_its_first_date_until_it_is_gone() {
    let judged = fixtures().remove(2);
    let mut history = judged.history.clone();
    let later: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    assert!(history.update(&judged.evaluation.findings, later).is_empty());
    let first = &judged.evaluation.findings[0];
    assert_eq!(history.first_seen(first), Some(now()));
    let changes = history.update(&judged.evaluation.findings[1..], later);
    assert_eq!(changes.resolved.len(), 1);
    let changes = history.update(&judged.evaluation.findings, later);
    assert_eq!((changes.new.len(), history.first_seen(first)), (1, Some(later)));
    let stored = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&stored).unwrap(), history);
}

#[test]
fn json_has_everything() {
    for judged in fixtures() {
        let report = json(&judged.report());
        assert_eq!(report["findings"].as_array().unwrap().len(), judged.evaluation.findings.len());
        assert_eq!(report["edges"].as_array().unwrap().len(), judged.edges.len());
        assert!(report["findings"].as_array().unwrap().iter().all(|finding| finding["firstSeen"].is_string()));
    }
}
