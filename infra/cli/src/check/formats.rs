//! The machine-readable formats of a report.

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use policy::edges::{Edge, edges};
use readers::ReadError;
use reports::sarif::{self, FileLine, Level, LocatedFinding, Notification};
use reports::{Cause, FilesReport, files_page, github, group, junit, visible_json};
use rules::pack::{Evaluation, Finding, Severity};
use serde_json::{Value, json};

use super::coverage::Coverage;
use super::files::Unread;
use super::report::Report;
use super::table;

impl Report<'_> {
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
        let report = json!({
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
        pretty(&report)
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
        let groups = groups.iter().map(|group| {
            let causes: Vec<Value> = group.causes.iter().map(cause).collect();
            json!({"rule": group.rule, "severity": group.worst, "causes": causes})
        });
        groups.collect()
    }

    /// The findings as JSON, each with its id and the location of its declaration.
    fn findings(&self, findings: &[Finding]) -> Vec<Value> {
        let with_location = |finding: &Finding| {
            let mut value = json!(finding);
            if let Value::Object(members) = &mut value {
                members.insert("id".to_owned(), json!(finding.id()));
                members.insert("source".to_owned(), self.source(finding));
            }
            value
        };
        findings.iter().map(with_location).collect()
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
        for line in results.iter().filter_map(|result| result.place.as_ref()) {
            clean.remove(line.file.as_str());
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
            let edges = edges(&mesh, &Readings::default(), now);
            (mesh, edges)
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

    /// The findings and then the waived findings, each with its line.
    fn results(&self) -> Vec<LocatedFinding<'_>> {
        let Evaluation { findings, waived } = self.evaluation;
        let located = |(finding, waived)| LocatedFinding { finding, place: self.place(finding), waived };
        let findings = findings.iter().map(|finding| (finding, false));
        findings.chain(waived.iter().map(|finding| (finding, true))).map(located).collect()
    }

    /// The notifications of the run that have at least this level.
    fn notifications(&self, least: Level) -> Vec<Notification> {
        match least {
            Level::Error => self.errors().collect(),
            Level::Note | Level::Warning => self.errors().chain(self.notes()).collect(),
        }
    }

    /// Unread and refused input.
    fn errors(&self) -> impl Iterator<Item = Notification> {
        let unread = self.unread.iter().map(|unread| (unread.to_string(), line_of(unread)));
        let refused = self.reading.refusals.iter().map(|refusal| {
            let line = refusal.line.map(|line| FileLine { file: refusal.source_.file.clone(), line });
            (refusal.to_string(), line)
        });
        unread.chain(refused).map(|(message, place)| Notification { level: Level::Error, message, place })
    }

    /// Remarks, notices and undecided findings.
    fn notes(&self) -> impl Iterator<Item = Notification> {
        let remarks = self.reading.remarks.iter().map(ToString::to_string);
        let undecided = self.undecided.iter().map(|finding| {
            let Finding { rule, resource, message, .. } = finding;
            format!("{resource}: {rule} is undecided, because the files are incomplete: {message}")
        });
        let messages = remarks.chain(self.notices.iter().cloned()).chain(undecided);
        messages.map(|message| Notification { level: Level::Note, message, place: None })
    }
}

/// The line of a syntax error.
fn line_of(unread: &Unread) -> Option<FileLine> {
    match unread {
        Unread::Content(ReadError::Syntax { file, line, .. }) => Some(FileLine { file: file.clone(), line: *line }),
        Unread::Module(module) => Some(FileLine { file: module.file.clone(), line: module.line }),
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
