//! Reads stored documents of both formats, and writes format 0.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Document, DocumentError, StateKey};

/// The format that this version writes.
pub const FORMAT_WRITTEN: u64 = 0;

/// The newest format that this version reads.
pub const NEWEST_FORMAT: u64 = 1;

/// The members of one kind of document in format 0.
pub trait DocumentRecord: Serialize + DeserializeOwned {
    /// The function's own part in format 1.
    type State: Serialize + DeserializeOwned;

    /// The number that documents of format 0 may have in their member `format`. Routes and certificates counted from 1.
    const FORMAT_0: u64 = 0;

    /// The number to store as `format`; `None` if the document has the number that it was read with.
    fn stored_format(&self) -> Option<u32> {
        None
    }

    /// The same document in format 1.
    fn into_document(self, key: &StateKey) -> Document<Self::State>;

    /// The same document in format 0. An error names the member that format 0 cannot hold.
    fn from_document(document: Document<Self::State>, key: &StateKey) -> Result<Self, String>;
}

/// The format of a stored document.
enum Format {
    Zero,
    One,
}

/// Reads a document of either format as format 0.
pub fn read_record<R: DocumentRecord>(key: &StateKey, stored: &Value) -> Result<R, DocumentError> {
    match format::<R>(key, stored)? {
        Format::Zero => decode(key, stored),
        Format::One => {
            let document: Document<R::State> = decode(key, stored)?;
            R::from_document(document, key).map_err(|message| malformed(key, message))
        }
    }
}

/// Reads a document of either format as format 1.
pub fn read_document<R: DocumentRecord>(key: &StateKey, stored: &Value) -> Result<Document<R::State>, DocumentError> {
    match format::<R>(key, stored)? {
        Format::Zero => Ok(decode::<R>(key, stored)?.into_document(key)),
        Format::One => decode(key, stored),
    }
}

/// A document as it is stored, in format 0.
#[must_use]
pub fn write_record<R: DocumentRecord>(record: &R) -> Value {
    // Records have only string keys, so this cannot fail.
    let mut stored = serde_json::to_value(record).unwrap_or_default();
    if let (Some(format), Some(members)) = (record.stored_format(), stored.as_object_mut()) {
        members.remove("format");
        // The first format is the absent one.
        if format > 1 {
            members.insert("format".to_owned(), format.into());
        }
    }
    stored
}

/// The number goes first: the other members of a newer format may have any form.
fn format<R: DocumentRecord>(key: &StateKey, stored: &Value) -> Result<Format, DocumentError> {
    // A list would be read as a record without any member.
    let Some(members) = stored.as_object() else { return Err(malformed(key, "expected an object".to_owned())) };
    let Some(format) = members.get("format") else { return Ok(Format::Zero) };
    match format.as_u64() {
        Some(1) if members.contains_key("state") => Ok(Format::One),
        Some(format) if format <= R::FORMAT_0 && !members.contains_key("state") => Ok(Format::Zero),
        Some(1) => Err(malformed(key, "it has format 1 and lacks the member `state`".to_owned())),
        Some(format) => Err(DocumentError::NewerFormat { key: key.as_str().to_owned(), format, known: NEWEST_FORMAT }),
        None => Err(malformed(key, format!("invalid `format` {format}: expected a number"))),
    }
}

fn decode<T: DeserializeOwned>(key: &StateKey, stored: &Value) -> Result<T, DocumentError> {
    serde_path_to_error::deserialize(stored).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        malformed(key, format!("{place}{}", error.into_inner()))
    })
}

fn malformed(key: &StateKey, message: String) -> DocumentError {
    DocumentError::Malformed { key: key.as_str().to_owned(), message }
}
