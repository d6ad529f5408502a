//! A stored document that cannot be read, as the error of a call.

use records::{DocumentError, NEWEST_FORMAT, StateKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{PortError, PortErrorKind};

impl From<DocumentError> for PortError {
    fn from(error: DocumentError) -> Self {
        let call = format!("read document `{}`", error.key());
        Self { call, kind: PortErrorKind::Other, message: error.to_string(), source: Some(Box::new(error)) }
    }
}

/// Reads a document of format 0 whose type is not in `records`.
pub fn read_document<T: DeserializeOwned>(key: &StateKey, document: &Value, known: u64) -> Result<T, DocumentError> {
    let key = key.as_str().to_owned();
    match document.get("format").map(Value::as_u64) {
        None => {}
        Some(Some(format)) if format <= known => {}
        Some(Some(format)) => return Err(DocumentError::NewerFormat { key, format, known: NEWEST_FORMAT }),
        Some(None) => return Err(DocumentError::Malformed { key, message: "invalid `format`".to_owned() }),
    }
    serde_json::from_value(document.clone())
        .map_err(|error| DocumentError::Malformed { key, message: error.to_string() })
}
