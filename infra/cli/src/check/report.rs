//! What a check found, as JSON and as SARIF.

use std::collections::HashMap;

use mesh::name::{MeshName, ResourcePath};
use mesh::pack::{Evaluation, Finding};
use mesh::readers::{Reading, Source};
use reports::sarif::{self, Level, Notification, Place, Placed};
use serde_json::{Value, json};

use super::Judged;
use super::files::{Text, Unread};
use super::lines::Lines;

/// All there is to tell.
pub(crate) struct Report<'r> {
    pub(crate) texts: &'r [Text],
    pub(crate) reading: &'r Reading,
    pub(crate) evaluation: &'r Evaluation,
    pub(crate) undecided: &'r [Finding],
    pub(crate) unread: &'r [Unread],
    /// Where each resource is declared; of one that is declared twice the last, which was judged.
    declared: HashMap<&'r ResourcePath, &'r Source>,
    /// Where each mesh is first spoken of.
    meshes: HashMap<&'r MeshName, &'r Source>,
}

impl<'r> Report<'r> {
    pub(crate) fn of(texts: &'r [Text], reading: &'r Reading, judged: &'r Judged, unread: &'r [Unread]) -> Self {
        let Judged { evaluation, undecided } = judged;
        let declared = reading.resources.iter().map(|declared| (&declared.path, &declared.source)).collect();
        // The last of a key stays, so the first has to come last.
        let meshes = reading.resources.iter().rev().map(|declared| (declared.path.mesh(), &declared.source)).collect();
        Self { texts, reading, evaluation, undecided, unread, declared, meshes }
    }

    /// One object with everything.
    pub(crate) fn json(&self) -> String {
        let unread: Vec<String> = self.unread.iter().map(ToString::to_string).collect();
        let told = json!({
            "files": self.texts.len(),
            "resources": self.reading.resources.len(),
            "findings": self.findings(&self.evaluation.findings),
            "waived": self.findings(&self.evaluation.waived),
            "undecided": self.findings(self.undecided),
            "unreadable": unread,
            "refusals": self.reading.refusals,
            "remarks": self.reading.remarks,
        });
        pretty(&told)
    }

    fn findings(&self, findings: &[Finding]) -> Vec<Value> {
        let told = |finding: &Finding| {
            let mut told = json!(finding);
            if let Value::Object(told) = &mut told {
                told.insert("id".to_owned(), json!(finding.id()));
                told.insert("source".to_owned(), json!(self.source(&finding.resource)));
            }
            told
        };
        findings.iter().map(told).collect()
    }

    /// A SARIF log.
    pub(crate) fn sarif(&self) -> String {
        let lines: HashMap<&str, Lines<'_>> =
            self.texts.iter().map(|text| (text.name.as_str(), Lines::of(&text.content))).collect();
        let place_of = |Source { file, id }: &Source| {
            lines.get(file.as_str()).map(|lines| Place { file: file.clone(), line: lines.of_id(id) })
        };
        // Many findings are of few resources.
        let mut known = HashMap::<&Source, Option<Place>>::new();
        for finding in self.evaluation.findings.iter().chain(&self.evaluation.waived) {
            if let Some(source) = self.source(&finding.resource) {
                known.entry(source).or_insert_with(|| place_of(source));
            }
        }
        let place = |finding: &Finding| known.get(self.source(&finding.resource)?).cloned().flatten();
        let place = &place;
        let placed = |waived: bool| move |finding| Placed { finding, place: place(finding), waived };
        let results: Vec<Placed<'_>> = (self.evaluation.findings.iter().map(placed(false)))
            .chain(self.evaluation.waived.iter().map(placed(true)))
            .collect();
        let unread = self.unread.iter().map(|error| Notification { level: Level::Error, message: error.to_string() });
        let refused = self.reading.refusals.iter();
        let refused = refused.map(|refusal| Notification { level: Level::Error, message: refusal.to_string() });
        let remarked = self.reading.remarks.iter();
        let remarked = remarked.map(|remark| Notification { level: Level::Note, message: remark.to_string() });
        let open = self.undecided.iter().map(|finding| {
            let Finding { rule, resource, message, .. } = finding;
            let message = format!("{resource}: {rule} is not decided, since not everything is known: {message}");
            Notification { level: Level::Note, message }
        });
        let notifications: Vec<Notification> = unread.chain(refused).chain(remarked).chain(open).collect();
        pretty(&sarif::log(env!("CARGO_PKG_VERSION"), &results, &notifications))
    }

    /// Where a resource is declared. A finding on a mesh that is declared elsewhere is shown where it is spoken of.
    pub(crate) fn source(&self, path: &ResourcePath) -> Option<&'r Source> {
        self.declared.get(path).or_else(|| self.meshes.get(path.mesh())).copied()
    }
}

fn pretty(value: &Value) -> String {
    // A value without maps of other keys than texts can always be written.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
