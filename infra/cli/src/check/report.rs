//! The results of a check, with the location of each finding.

use std::collections::HashMap;

use mesh::name::{MeshName, ResourcePath};
use readers::{Declared, Reading};
use reports::sarif::FileLine;
use rules::pack::{Evaluation, Finding, FindingId};
use serde_json::{Value, json};

use super::files::{Text, Unread};
use super::judged::{self, Judged};

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
    places: &'r HashMap<FindingId, judged::DeclaredLine>,
    /// The unevaluated parts of Terraform configurations, and links to folders.
    pub(crate) notices: &'r [String],
    /// The first resource of each mesh.
    meshes: HashMap<&'r MeshName, &'r Declared>,
}

impl<'r> Report<'r> {
    pub(crate) fn new(texts: &'r [Text], reading: &'r Reading, judged: &'r Judged, unread: &'r [Unread]) -> Self {
        let Judged { evaluation, undecided, places, notices } = judged;
        let declared = reading.resources.iter().map(|declared| (&declared.path, declared)).collect();
        // `collect` keeps the last entry of a key, so the reversed order keeps the first resource.
        let meshes = reading.resources.iter().rev().map(|declared| (declared.path.mesh(), declared)).collect();
        Self { texts, reading, evaluation, undecided, unread, declared, places, notices, meshes }
    }

    /// The location of the member that a finding is about: file, id and line.
    pub(super) fn source(&self, finding: &Finding) -> Value {
        if let Some(judged::DeclaredLine { source, line }) = self.places.get(&finding.id()) {
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
    pub(crate) fn place(&self, finding: &Finding) -> Option<FileLine> {
        if let Some(judged::DeclaredLine { source, line }) = self.places.get(&finding.id()) {
            return Some(FileLine { file: source.file.clone(), line: *line });
        }
        let (Declared { source, .. }, line) = self.declared_at(finding)?;
        Some(FileLine { file: source.file.clone(), line })
    }
}
