//! Reads stored documents, and distinguishes unreadable documents from missing ones.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{PortError, PortErrorKind, StateKey};

/// The reason why a stored document cannot be read. Such a document never counts as empty, and is never overwritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A newer version wrote the document.
    #[error("document `{key}` has format {format}, and this version reads formats up to {known}")]
    NewerFormat {
        /// The key.
        key: String,
        /// The format.
        format: u64,
        /// The newest format that this version reads.
        known: u64,
    },
    /// The document is malformed.
    #[error("document `{key}` cannot be read: {message}")]
    Malformed {
        /// The key.
        key: String,
        /// The error and its position.
        message: String,
    },
}

/// Reads a document of at most this format; a document without `format` has format 0. Unknown members are left to the
/// type: a newer version may add some without a new format.
pub fn read_document<T: DeserializeOwned>(key: &StateKey, document: &Value, known: u64) -> Result<T, DocumentError> {
    let malformed = |message: String| DocumentError::Malformed { key: key.as_str().to_owned(), message };
    match document.get("format") {
        None => {}
        Some(format) => match format.as_u64() {
            Some(format) if format <= known => {}
            Some(format) => return Err(DocumentError::NewerFormat { key: key.as_str().to_owned(), format, known }),
            None => return Err(malformed(format!("invalid `format` {format}: expected a number"))),
        },
    }
    serde_json::from_value(document.clone()).map_err(|error| malformed(error.to_string()))
}

impl DocumentError {
    /// The stable reason code.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NewerFormat { .. } => "NewerFormat",
            Self::Malformed { .. } => "RecordUnreadable",
        }
    }

    /// The document's key.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::NewerFormat { key, .. } | Self::Malformed { key, .. } => key,
        }
    }

    /// The remedy for an operator.
    #[must_use]
    pub fn remedy(&self) -> String {
        let forget = format!("`meshwarden forget {} --reason TEXT`", self.key());
        match self {
            Self::NewerFormat { .. } => format!(
                "deploy the version that wrote it; or start again with {forget}, which loses what the document remembers"
            ),
            Self::Malformed { .. } => format!(
                "repair the item in the state table; or start again with {forget}, which loses what the document remembers"
            ),
        }
    }
}

impl From<DocumentError> for PortError {
    fn from(error: DocumentError) -> Self {
        let call = format!("read document `{}`", error.key());
        Self { call, kind: PortErrorKind::Other, message: error.to_string(), source: Some(Box::new(error)) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn newer_format_and_malformed_document_are_told_apart() {
        let key = StateKey::meshes("f");
        let read = |document: Value| read_document::<BTreeMap<String, u64>>(&key, &document, 1);
        assert_eq!(read(json!({ "a": 1 })).unwrap().len(), 1);
        assert_eq!(read(json!({ "format": 1 })).unwrap().len(), 1);
        assert_eq!(read(json!({ "format": 2 })).unwrap_err().reason(), "NewerFormat");
        assert_eq!(read(json!({ "format": "x" })).unwrap_err().reason(), "RecordUnreadable");
        assert_eq!(read(json!([])).unwrap_err().reason(), "RecordUnreadable");
        let error = read(json!({ "a": "x" })).unwrap_err();
        assert!(error.to_string().starts_with("document `f` cannot be read: "), "{error}");
        assert!(error.remedy().contains("meshwarden forget f "), "{}", error.remedy());
    }
}
