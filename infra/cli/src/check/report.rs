//! What a check found, as JSON and as SARIF.

use std::collections::HashMap;
use std::ops::Range;

use mesh::name::{MeshName, ResourcePath};
use mesh::pack::{Evaluation, Finding};
use mesh::readers::{Reading, Source};
use reports::sarif::{self, Level, Notification, Place, Placed};
use serde_json::{Value, json};

use super::Judged;
use super::files::{Text, Unread};

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
        // Many findings are of few resources.
        let mut known = HashMap::<&Source, Option<Place>>::new();
        for finding in self.evaluation.findings.iter().chain(&self.evaluation.waived) {
            if let Some(source) = self.source(&finding.resource) {
                known.entry(source).or_insert_with(|| self.place(source));
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

    fn place(&self, source: &Source) -> Option<Place> {
        let Source { file, id } = source;
        let text = self.texts.iter().find(|text| text.name == *file)?;
        Some(Place { file: file.clone(), line: line_of(&text.content, id) })
    }
}

/// The line that declares a resource, as far as its id tells, from 1: where the id's last word is a key, as a logical id
/// is; else where it is a name, of a manifest's documents in the one of its kind; else where it first stands.
fn line_of(text: &str, id: &str) -> usize {
    let mut words = id.split([' ', '/']).filter(|word| !word.starts_with("routes["));
    let kind = words.clone().next().filter(|kind| id.contains(' ') && !kind.is_empty());
    let word = words.next_back().unwrap_or(id);
    let lines: Vec<&str> = text.lines().collect();
    let within = kind.and_then(|kind| document_of(&lines, kind, word)).unwrap_or(0..lines.len());
    let first = |holds: &dyn Fn(&str) -> bool| {
        let mut candidates = lines.iter().enumerate().skip(within.start).take(within.len());
        candidates.find(|(_, line)| holds(line)).map(|(at, _)| at + 1)
    };
    let is_key = |line: &str| key_and_rest(line).is_some_and(|(key, _)| key == word);
    first(&is_key)
        .or_else(|| first(&|line| names(line, word)))
        .or_else(|| first(&|line| has_word(line, word)))
        .unwrap_or(1)
}

/// The lines of the document of a kind that names a resource so.
fn document_of(lines: &[&str], kind: &str, word: &str) -> Option<Range<usize>> {
    let ends = lines.iter().enumerate().filter(|(_, line)| line.starts_with("---")).map(|(at, _)| at);
    let mut start = 0;
    for end in ends.chain([lines.len()]) {
        let document = lines.get(start..end).unwrap_or_default();
        let is_of_kind = document
            .iter()
            .any(|line| key_and_rest(line).is_some_and(|(key, rest)| key == "kind" && unquoted(rest) == kind));
        if is_of_kind && document.iter().any(|line| names(line, word)) {
            return Some(start..end);
        }
        start = end + 1;
    }
    None
}

/// Whether a line says that something is called so: `name: web`, `"virtualNodeName": "web"`.
fn names(line: &str, word: &str) -> bool {
    key_and_rest(line).is_some_and(|(key, rest)| key.to_lowercase().ends_with("name") && unquoted(rest) == word)
}

/// A member of a YAML or JSON object on a line of its own.
fn key_and_rest(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start().trim_start_matches("- ");
    let (key, rest) = match line.strip_prefix('"') {
        Some(quoted) => {
            quoted.split_once('"').and_then(|(key, rest)| Some((key, rest.trim_start().strip_prefix(':')?)))?
        }
        None => line.split_once(':')?,
    };
    Some((key.trim_matches('\''), rest))
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_end_matches(',').trim_matches(['"', '\''])
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_within = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        let after = line.get(at + word.len()..).and_then(|rest| rest.chars().next());
        let before = line.get(..at).and_then(|rest| rest.chars().next_back());
        !is_within(before) && !is_within(after)
    })
}

fn pretty(value: &Value) -> String {
    // A value without maps of other keys than texts can always be written.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_found_by_its_id() {
        let template =
            "Parameters:\n  P: {Default: Orders}\nResources:\n  OrdersV2:\n    x: !Ref Orders\n  Orders:\n    y: 1";
        assert_eq!(line_of(template, "OrdersV2"), 4);
        assert_eq!(line_of(template, "Orders"), 6, "not where it is referred to");
        assert_eq!(line_of(template, "nowhere"), 1);
        let json = "{\n \"Resources\": {\n  \"Web\": {\"DependsOn\": \"Mesh\"},\n  \"Mesh\": {}}}";
        assert_eq!((line_of(json, "Mesh"), line_of(json, "Web")), (4, 3));
        let api = "{\n \"meshName\": \"shop\",\n \"virtualNodeName\": \"web\"\n}";
        assert_eq!(line_of(api, "web"), 3);
    }

    #[test]
    fn of_the_documents_of_a_manifest_the_one_of_the_kind_is_meant() {
        let document =
            |kind: &str, name: &str| format!("kind: {kind}\nmetadata:\n  name: {name}\nspec:\n  about: web\n");
        let all = [("VirtualService", "web"), ("VirtualNode", "api"), ("VirtualNode", "web"), ("VirtualRouter", "web")];
        let text = all.map(|(kind, name)| document(kind, name)).join("---\n");
        assert_eq!(line_of(&text, "VirtualService shop/web"), 3);
        assert_eq!(line_of(&text, "VirtualNode shop/api"), 9);
        assert_eq!(line_of(&text, "VirtualNode shop/web"), 15);
        assert_eq!(line_of(&text, "VirtualRouter shop/web routes[0]"), 21);
    }
}
