//! The report of a check in machine-readable formats.

use std::collections::HashMap;

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::edges::{Edge, edges};
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::pack::{Evaluation, Finding, FindingId, Severity};
use mesh::readers::{Declared, ReadError, Reading};
use reports::sarif::{self, Level, Notification, Place, Placed};
use reports::{Cause, FilesReport, files_page, github, group, junit, visible_json};
use serde_json::{Value, json};

use super::Judged;
use super::coverage::Coverage;
use super::files::{Text, Unread};
use super::table;

/// The results of a check.
pub(crate) struct Report<'r> {
    pub(crate) texts: &'r [Text],
    pub(crate) reading: &'r Reading,
    pub(crate) evaluation: &'r Evaluation,
    pub(crate) undecided: &'r [Finding],
    pub(crate) unread: &'r [Unread],
    /// The declaration of each resource. For a duplicate it is the last one, which was judged.
    declared: HashMap<&'r ResourcePath, &'r Declared>,
    /// The locations of findings on parts of files.
    places: &'r HashMap<FindingId, super::Place>,
    /// The unevaluated parts of Terraform configurations, and links to folders.
    pub(crate) notices: &'r [String],
    /// The first resource of each mesh.
    meshes: HashMap<&'r MeshName, &'r Declared>,
}

impl<'r> Report<'r> {
    pub(crate) fn of(texts: &'r [Text], reading: &'r Reading, judged: &'r Judged, unread: &'r [Unread]) -> Self {
        let Judged { evaluation, undecided, places, notices } = judged;
        let declared = reading.resources.iter().map(|declared| (&declared.path, declared)).collect();
        // `collect` keeps the last entry of a key, so the reversed order keeps the first resource.
        let meshes = reading.resources.iter().rev().map(|declared| (declared.path.mesh(), declared)).collect();
        Self { texts, reading, evaluation, undecided, unread, declared, places, notices, meshes }
    }

    /// Whether all input was readable and decided, so that a missing finding proves a clean result.
    pub(crate) fn is_complete(&self) -> bool {
        self.unread.is_empty()
            && self.reading.refusals.is_empty()
            && self.undecided.is_empty()
            && !Coverage::new(self).is_empty()
    }

    /// One JSON object with the whole report.
    pub(crate) fn json(&self) -> String {
        let unread: Vec<String> = self.unread.iter().map(ToString::to_string).collect();
        let coverage = Coverage::new(self);
        let told = json!({
            "files": self.texts.len(),
            "filesRead": coverage.read,
            "filesWithoutResources": coverage.without,
            "resources": self.reading.resources.len(),
            "findings": self.findings(&self.evaluation.findings),
            "waived": self.findings(&self.evaluation.waived),
            "undecided": self.findings(self.undecided),
            "unreadable": unread,
            "refusals": self.reading.refusals,
            "remarks": self.reading.remarks,
            "notices": self.notices,
            "groups": self.groups(),
        });
        pretty(&told)
    }

    /// The findings by rule and root cause, each by its id.
    fn groups(&self) -> Vec<Value> {
        let ids = |findings: &[&Finding]| findings.iter().map(|finding| json!(finding.id())).collect::<Vec<_>>();
        let cause = |cause: &Cause<'_>| {
            json!({
                "rootCause": {"resource": cause.root.resource, "part": cause.root.part},
                "findings": ids(&cause.findings),
                "consequences": ids(&cause.consequences),
            })
        };
        let groups = group(&self.evaluation.findings);
        let of_rule = groups.iter().map(|of_rule| {
            let causes: Vec<Value> = of_rule.causes.iter().map(cause).collect();
            json!({"rule": of_rule.rule, "severity": of_rule.worst, "causes": causes})
        });
        of_rule.collect()
    }

    fn findings(&self, findings: &[Finding]) -> Vec<Value> {
        let told = |finding: &Finding| {
            let mut told = json!(finding);
            if let Value::Object(told) = &mut told {
                told.insert("id".to_owned(), json!(finding.id()));
                told.insert("source".to_owned(), self.source(finding));
            }
            told
        };
        findings.iter().map(told).collect()
    }

    /// A SARIF log.
    pub(crate) fn sarif(&self) -> String {
        pretty(&sarif::log(env!("CARGO_PKG_VERSION"), &self.results(), &self.notifications(Level::Note)))
    }

    /// Workflow commands for GitHub, with the errors of the run.
    pub(crate) fn github(&self) -> String {
        // GitHub shows few annotations, and notes would displace findings.
        github(&self.results(), &self.notifications(Level::Error))
    }

    /// A JUnit report, in which severities that fail the check are failures.
    pub(crate) fn junit(&self, fails: impl Fn(Severity) -> bool) -> String {
        let results = self.results();
        let coverage = Coverage::new(self);
        let mut clean = coverage.read;
        for placed in &results {
            if let Some(place) = &placed.place {
                clean.remove(place.file.as_str());
            }
        }
        for refusal in &self.reading.refusals {
            clean.remove(refusal.source_.file.as_str());
        }
        let clean: Vec<&str> = clean.into_iter().collect();
        junit(&results, &self.notifications(Level::Note), &clean, fails)
    }

    /// An HTML page with a drawing of each mesh.
    pub(crate) fn html(&self, now: Timestamp) -> String {
        let meshes = self.reading.meshes().into_values().map(|mesh| {
            let calls = edges(&mesh, &Readings::default(), now);
            (mesh, calls)
        });
        let meshes: Vec<(Mesh, Vec<Edge>)> = meshes.collect();
        let unread = self.unread.iter().map(ToString::to_string);
        let unread: Vec<String> = unread.chain(self.reading.refusals.iter().map(ToString::to_string)).collect();
        files_page(&FilesReport {
            summary: &table::summary(self, &group(&self.evaluation.findings), true),
            meshes: &meshes,
            evaluation: self.evaluation,
            undecided: self.undecided,
            unread: &unread,
            place: &|finding| self.place(finding),
        })
    }

    fn results(&self) -> Vec<Placed<'_>> {
        let placed = |waived: bool| move |finding: &'r Finding| Placed { finding, place: self.place(finding), waived };
        let waived = self.evaluation.waived.iter().map(placed(true));
        self.evaluation.findings.iter().map(placed(false)).chain(waived).collect()
    }

    /// The notifications of the run, from a level on: unread and refused input as errors, all others as notes.
    fn notifications(&self, least: Level) -> Vec<Notification> {
        let of = |level: Level| move |message: String| Notification { level, message, place: None };
        let error = |message: String, place| Notification { level: Level::Error, message, place };
        let unread = self.unread.iter().map(move |unread| error(unread.to_string(), place_of(unread)));
        let refused = self.reading.refusals.iter().map(move |refusal| {
            let place = refusal.line.map(|line| Place { file: refusal.source_.file.clone(), line });
            error(refusal.to_string(), place)
        });
        let errors = unread.chain(refused);
        let remarked = self.reading.remarks.iter().map(ToString::to_string).chain(self.notices.iter().cloned());
        let open = self.undecided.iter().map(|finding| {
            let Finding { rule, resource, message, .. } = finding;
            format!("{resource}: {rule} is not decided, since not everything is known: {message}")
        });
        match least {
            Level::Error => errors.collect(),
            Level::Note | Level::Warning => errors.chain(remarked.chain(open).map(of(Level::Note))).collect(),
        }
    }

    /// The location of the member that a finding is about: file, id and line.
    fn source(&self, finding: &Finding) -> Value {
        if let Some(super::Place { source, line }) = self.places.get(&finding.id()) {
            return json!({"file": source.file, "id": source.id, "line": line});
        }
        let Some((Declared { source, .. }, line)) = self.declared_at(finding) else { return Value::Null };
        json!({"file": source.file, "id": source.id, "line": line})
    }

    /// The declaration of a finding's resource, and the line of the finding's member. If the member is absent, it is
    /// the line of the nearest enclosing member or of the resource.
    fn declared_at(&self, finding: &Finding) -> Option<(&'r Declared, usize)> {
        let declared = self.declaration(&finding.resource)?;
        let member = || finding.member(&declared.spec.to_json());
        let is_own = declared.path == finding.resource;
        let line = is_own.then(|| declared.lines.line_of(&member())).flatten();
        Some((declared, line.unwrap_or(declared.line)))
    }

    /// The declaration of a resource. A finding on an undeclared resource is shown at the first resource of its mesh.
    fn declaration(&self, path: &ResourcePath) -> Option<&'r Declared> {
        self.declared.get(path).or_else(|| self.meshes.get(path.mesh())).copied()
    }

    /// The file and line of a finding.
    pub(crate) fn place(&self, finding: &Finding) -> Option<Place> {
        if let Some(super::Place { source, line }) = self.places.get(&finding.id()) {
            return Some(Place { file: source.file.clone(), line: *line });
        }
        let (Declared { source, .. }, line) = self.declared_at(finding)?;
        Some(Place { file: source.file.clone(), line })
    }
}

/// The location of a syntax error.
fn place_of(unread: &Unread) -> Option<Place> {
    match unread {
        Unread::Content(ReadError::Syntax { file, line, .. }) => Some(Place { file: file.clone(), line: *line }),
        Unread::Content(ReadError::NoForm { .. } | ReadError::NoKind { .. })
        | Unread::File { .. }
        | Unread::Nothing { .. }
        | Unread::Source { .. } => None,
    }
}

fn pretty(value: &Value) -> String {
    // Serialization fails only for maps with non-string keys, and a `Value` has none.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut text = visible_json(&text).into_owned();
    text.push('\n');
    text
}
