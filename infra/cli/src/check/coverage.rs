//! The coverage of a check: read and unread files.

use std::collections::BTreeSet;

use decisions::rotation::MeshCertificates;
use mesh::name::MeshName;

use super::report::Report;

/// The files of a check and their App Mesh resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coverage<'r> {
    /// The files with App Mesh resources, with or without findings.
    pub(crate) read: BTreeSet<&'r str>,
    /// The files without App Mesh resources.
    pub(crate) without: BTreeSet<&'r str>,
    /// The meshes of the resources.
    pub(crate) meshes: BTreeSet<&'r MeshName>,
    /// The number of certificates that the resources name. No file contains the certificates.
    pub(crate) certificates: usize,
}

impl<'r> Coverage<'r> {
    pub(crate) fn new(report: &Report<'r>) -> Self {
        let reading = report.reading;
        let sources = (reading.resources.iter().map(|declared| &declared.source))
            .chain(reading.remarks.iter().map(|remark| &remark.source))
            .chain(reading.refusals.iter().map(|refusal| &refusal.source_));
        let read: BTreeSet<&str> = sources.map(|source| source.file.as_str()).collect();
        let failed: Vec<String> = report.unread.iter().map(ToString::to_string).collect();
        let has_failed = |name: &str| failed.iter().any(|error| error.starts_with(&format!("{name}:")));
        let names = report.texts.iter().map(|text| text.name.as_str());
        let without = names.filter(|name| !read.contains(name) && !has_failed(name)).collect();
        let meshes = reading.resources.iter().map(|declared| declared.path.mesh()).collect();
        let leaves = |mesh| MeshCertificates::from_mesh(mesh).leaves.len();
        Self { read, without, meshes, certificates: reading.meshes().values().map(leaves).sum() }
    }

    /// Whether no file has an App Mesh resource.
    pub(crate) fn is_empty(&self) -> bool {
        self.read.is_empty()
    }
}

/// A count with its noun: `1 file`, `2 files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 {
        ""
    } else if noun.ends_with("sh") {
        "es"
    } else {
        "s"
    };
    format!("{number} {noun}{ending}")
}
