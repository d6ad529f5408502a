//! Reports of meshes that were read, each in every format.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use policy::Policy;
use policy::edges::{Edge, edges};
use readers::{Surroundings, read};
use reports::sarif::{LocatedFinding, log};
use reports::{Changes, History, MeshReport, SEVERITIES, SecurityHubAccount, asff, json};
use rules::pack::{Evaluation, Severity, judge};
use serde_json::{Value, json as value};

struct EvaluatedMesh {
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
fn fixtures() -> Vec<EvaluatedMesh> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../readers/tests/readers/fixtures");
    let evaluated = ["shop", "front", "loose"].map(|name| {
        let text = std::fs::read_to_string(folder.join(name).join("api.json")).unwrap();
        let reading = read(&text, "api.json", &Surroundings::default()).unwrap();
        let (_, mesh) = reading.meshes().pop_first().unwrap();
        evaluated(mesh)
    });
    evaluated.into()
}

fn evaluated(mesh: Mesh) -> EvaluatedMesh {
    let readings = Readings::default();
    let evaluation = judge(&mesh, &readings, &Policy::built_in().unwrap(), now());
    let edges = edges(&mesh, &readings, now());
    let mut history = History::default();
    let changes = history.update(&evaluation.findings, now());
    EvaluatedMesh { mesh, edges, evaluation, history, changes }
}

impl EvaluatedMesh {
    fn report(&self) -> MeshReport<'_> {
        let Self { mesh, edges, evaluation, history, .. } = self;
        MeshReport { mesh, edges, evaluation, history, at: now(), unread: &[] }
    }
}

#[test]
fn asff_respects_the_limits_of_the_format() {
    let place =
        SecurityHubAccount { partition: "aws".into(), region: "eu-west-1".into(), account: "123456789012".into() };
    let mut evaluated = fixtures().remove(2);
    evaluated.evaluation.findings[0].message = "x".repeat(5000);
    evaluated.evaluation.findings[0].facts.insert("long".into(), "y".repeat(5000).into());
    for n in 0..60 {
        evaluated.evaluation.findings[0].facts.insert(format!("fact {n}").into(), n.into());
    }
    let gone = evaluated.changes.new.remove(0);
    evaluated.changes.resolved.push(gone);
    let findings = asff(&evaluated.report(), &evaluated.changes, &place);
    assert_eq!(findings.len(), evaluated.evaluation.findings.len() + 1);
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
    let place =
        SecurityHubAccount { partition: "aws".into(), region: "eu-west-1".into(), account: "123456789012".into() };
    let mut evaluated = fixtures().remove(2);
    let gone = evaluated.changes.new.remove(0);
    evaluated.changes.resolved.push(gone);
    let later: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    let report = MeshReport { at: later, ..evaluated.report() };
    for finding in asff(&report, &evaluated.changes, &place) {
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
        let log = log("1", &[LocatedFinding { finding: &finding, place: None, waived: false }], &[]);
        let result = &log["runs"][0]["results"][0];
        assert_eq!((&result["suppressions"], &result["properties"]["severity"]), (&Value::Null, &value!(severity)));
        assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], true);
        result["level"].as_str().unwrap().to_owned()
    });
    assert_eq!(levels, ["error", "error", "warning", "note", "note"]);
}

/// The policy may change the severity of a rule: a finding stays the same one, with its current severity.
#[test]
fn finding_has_its_current_severity() {
    let mut evaluated = fixtures().remove(2);
    let later: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    let (now_info, others) = evaluated.evaluation.findings.split_first_mut().unwrap();
    assert!(now_info.severity != Severity::Info && !others.is_empty());
    now_info.severity = Severity::Info;
    let id = now_info.id();
    assert!(evaluated.history.update(&evaluated.evaluation.findings, later).is_empty());
    // A finding that was not checked stays.
    let changes = evaluated.history.update_known(&[], later, |dated| dated.severity == Severity::Info);
    let resolved = changes.resolved.iter().find(|(resolved, _)| *resolved == id);
    assert_eq!(resolved.map(|(_, dated)| dated.first_seen), Some(now()));
    assert!(!evaluated.history.is_empty());
}

#[test]
fn finding_keeps_its_first_date_until_it_is_resolved() {
    let evaluated = fixtures().remove(2);
    let mut history = evaluated.history.clone();
    let later: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    assert!(history.update(&evaluated.evaluation.findings, later).is_empty());
    let first = &evaluated.evaluation.findings[0];
    assert_eq!(history.first_seen(first), Some(now()));
    let changes = history.update(&evaluated.evaluation.findings[1..], later);
    assert_eq!(changes.resolved.len(), 1);
    let changes = history.update(&evaluated.evaluation.findings, later);
    assert_eq!((changes.new.len(), history.first_seen(first)), (1, Some(later)));
    let stored = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&stored).unwrap(), history);
}

#[test]
fn json_contains_every_finding_and_edge() {
    for evaluated in fixtures() {
        let report = json(&evaluated.report());
        assert_eq!(report["findings"].as_array().unwrap().len(), evaluated.evaluation.findings.len());
        assert_eq!(report["edges"].as_array().unwrap().len(), evaluated.edges.len());
        assert!(report["findings"].as_array().unwrap().iter().all(|finding| finding["firstSeen"].is_string()));
    }
}
