//! The file of rights.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh::name::ResourceKind;
use serde::Deserialize;

use super::access::Level;
use super::grant::{Grant, ResourceGrant, Rights, Subject, SubjectRights};
use crate::auth::{RolePattern, RolePatternError};
use crate::reloaded;

/// The rights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RightsFileError {
    /// The file cannot be read.
    #[error("failed to read the rights file {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// Users other than the owner can change the rights.
    #[error("{path} is writable by users other than its owner; run chmod go-w on it", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The content has another format.
    #[error("invalid rights file {path}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The error of the JSON reader, with line and column.
        source: serde_json::Error,
    },
    /// An entry has an invalid value.
    #[error("invalid rights file {path}: entry {entry}: {problem}", path = path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The number of the entry; the first one is 1.
        entry: usize,
        /// The invalid value, and the expected one.
        problem: EntryProblem,
    },
}

/// The problem of an entry of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// The entry names no subject, or several.
    #[error("expected exactly one of \"key\", \"role\" and \"token\", not empty")]
    Subject,
    /// The pattern of a role is invalid.
    #[error(transparent)]
    Role(#[from] RolePatternError),
    /// A grant has a level without meshes, or meshes without a level.
    #[error("expected \"meshes\" and \"level\" together, and \"kinds\" only with them")]
    Level,
    /// A grant has an empty list or an empty pattern.
    #[error("expected lists with at least one text, none empty; leave out the member to grant nothing by it")]
    Empty,
    /// A grant grants nothing.
    #[error("expected \"meshes\" with \"level\", \"certificates\": true or \"tokens\" in each grant")]
    Nothing,
}

/// The content of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RightsDocument {
    subjects: Vec<EntryDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryDocument {
    key: Option<String>,
    role: Option<String>,
    token: Option<String>,
    grants: Vec<GrantDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantDocument {
    meshes: Option<Vec<String>>,
    kinds: Option<BTreeSet<ResourceKind>>,
    level: Option<Level>,
    #[serde(default)]
    certificates: bool,
    tokens: Option<Vec<String>>,
}

/// Reads and checks the file.
pub(super) fn load(path: &Path) -> Result<(Metadata, Rights), RightsFileError> {
    let read = reloaded::read(path).map_err(|source| RightsFileError::Read { path: path.to_owned(), source });
    let (metadata, text) = read?;
    if metadata.mode() & 0o022 != 0 {
        return Err(RightsFileError::Exposed { path: path.to_owned() });
    }
    Ok((metadata, parse(path, &text)?))
}

/// Parses the content. `path` is for errors.
pub(super) fn parse(path: &Path, text: &str) -> Result<Rights, RightsFileError> {
    let format = |source| RightsFileError::Format { path: path.to_owned(), source };
    let document: RightsDocument = serde_json::from_str(text).map_err(format)?;
    let entries = document.subjects.into_iter().enumerate().map(|(at, entry)| {
        let error = |problem| RightsFileError::Entry { path: path.to_owned(), entry: at.saturating_add(1), problem };
        entry.rights().map_err(error)
    });
    Ok(Rights(Arc::new(entries.collect::<Result<_, _>>()?)))
}

impl EntryDocument {
    fn rights(self) -> Result<SubjectRights, EntryProblem> {
        let subject = match (self.key, self.role, self.token) {
            (Some(id), None, None) if !id.is_empty() => Subject::Key(id),
            (None, Some(pattern), None) => Subject::Role(pattern.parse::<RolePattern>()?),
            (None, None, Some(pattern)) if !pattern.is_empty() => Subject::Token(pattern),
            _ => return Err(EntryProblem::Subject),
        };
        let grants = self.grants.into_iter().map(GrantDocument::grant).collect::<Result<_, _>>()?;
        Ok(SubjectRights { subject, grants })
    }
}

impl GrantDocument {
    fn grant(self) -> Result<Grant, EntryProblem> {
        let is_empty = |list: &Vec<String>| list.is_empty() || list.iter().any(String::is_empty);
        let lists = [&self.meshes, &self.tokens].into_iter().flatten();
        if lists.into_iter().any(is_empty) || self.kinds.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(EntryProblem::Empty);
        }
        let resources = match (self.meshes, self.level, self.kinds) {
            (Some(meshes), Some(level), kinds) => Some(ResourceGrant { meshes, kinds, level }),
            (None, None, None) => None,
            (Some(_), None, _) | (None, Some(_), _) | (None, None, Some(_)) => return Err(EntryProblem::Level),
        };
        let grant = Grant { resources, certificates: self.certificates, tokens: self.tokens.unwrap_or_default() };
        if grant == Grant::default() { Err(EntryProblem::Nothing) } else { Ok(grant) }
    }
}
