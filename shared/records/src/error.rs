//! Errors of reading stored documents and journal entries.

/// A stored document that cannot be read. It is never read as an empty document, and never overwritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A newer version wrote the document.
    #[error("document `{key}` has format {format}, and this version reads formats up to {known}")]
    NewerFormat {
        /// The key of the document.
        key: String,
        /// The format of the document.
        format: u64,
        /// The newest format that this version reads.
        known: u64,
    },
    /// The document does not have the members of its kind.
    #[error("document `{key}` cannot be read: {message}")]
    Malformed {
        /// The key of the document.
        key: String,
        /// The defect and its place.
        message: String,
    },
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

    /// The key of the document.
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

/// A journal entry, or an observation, that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct ReadError {
    /// The place of the defect, as in `observed.facts.mesh`.
    pub at: String,
    /// The defect.
    pub message: String,
}

impl ReadError {
    /// An error at a place.
    #[must_use]
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }

    /// Reads a value, and names the member that has the wrong form.
    pub(crate) fn decode<T: serde::de::DeserializeOwned>(value: &serde_json::Value, at: &str) -> Result<T, Self> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let at = if path == "." { at.to_owned() } else { format!("{at}.{path}") };
            Self::new(at, error.into_inner().to_string())
        })
    }
}
