//! The machine-readable formats of a report.

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::edges::{Edge, edges};
use mesh::graph::Mesh;
use mesh::pack::{Finding, Severity};
use mesh::readers::ReadError;
use reports::sarif::{self, Level, Notification, Place, Placed};
use reports::{Cause, FilesReport, files_page, github, group, junit, visible_json};
use serde_json::{Value, json};

use super::coverage::Coverage;
use super::files::Unread;
use super::report::Report;
use super::table;

impl<'r> Report<'r> {
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
}

/// The location of a syntax error.
fn place_of(unread: &Unread) -> Option<Place> {
    match unread {
        Unread::Content(ReadError::Syntax { file, line, .. }) => Some(Place { file: file.clone(), line: *line }),
        Unread::Module(module) => Some(Place { file: module.file.clone(), line: module.line }),
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
