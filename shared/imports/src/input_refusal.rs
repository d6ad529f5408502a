//! A part of the input that cannot be imported.

use std::fmt;

use readers::Source;
use serde::Serialize;

/// A part of the input for which the import is refused, before anything is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct InputRefusal {
    /// The file.
    pub file: String,
    /// The line, from 1; `None` if it is unknown.
    pub line: Option<usize>,
    /// The resource in the file: a logical id, an address, a namespace and name.
    pub id: String,
    /// The member; empty for the resource as a whole.
    pub member: String,
    /// The problem.
    pub problem: String,
    /// The remedy as a sentence without a full stop; empty if the problem names it.
    pub remedy: String,
    /// The expression without a known value, if that is the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl InputRefusal {
    /// Creates a refusal of a part of a declaration.
    #[must_use]
    pub fn new(source: &Source, line: Option<usize>, member: &str, problem: String, remedy: String) -> Self {
        let (file, id) = (source.file.clone(), source.id.clone());
        Self { file, line, id, member: member.to_owned(), problem, remedy, unknown: None }
    }

    /// The file, the resource and the member.
    pub(crate) fn place(&self) -> (String, String, String) {
        (self.file.clone(), self.id.clone(), self.member.clone())
    }
}

impl fmt::Display for InputRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        for part in [&self.id, &self.member, &self.problem] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}
