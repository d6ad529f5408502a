//! The judgement of files.

use std::collections::HashMap;

use readers::Source;
use rules::pack::{Evaluation, Finding, FindingId};

/// The judgement of the files by the rule pack.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The certain findings.
    pub(crate) evaluation: Evaluation,
    /// Findings that would hold if the files were complete and every value were known.
    pub(crate) undecided: Vec<Finding>,
    /// The locations of findings on parts of files, rather than on whole resources.
    pub(crate) places: HashMap<FindingId, DeclaredLine>,
    /// The unevaluated parts of Terraform configurations, and links to folders.
    pub(crate) notices: Vec<String>,
}

/// A line of a file, with its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeclaredLine {
    pub(crate) source: Source,
    pub(crate) line: usize,
}
