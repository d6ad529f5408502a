//! `AdmissionReview`, version `admission.k8s.io/v1`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

const VERSION: &str = "admission.k8s.io/v1";

/// The most warnings of a response, and the most characters of each; the Kubernetes API truncates more.
const MOST_WARNINGS: usize = 10;
const LONGEST_WARNING: usize = 240;

/// What a client does with the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The object is created.
    Create,
    /// The object is changed.
    Update,
    /// The object is deleted.
    Delete,
    /// A request to a subresource, such as `exec`.
    Connect,
}

/// The request of a review.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// The id, which the response repeats.
    pub uid: String,
    /// The operation.
    pub operation: Operation,
    /// The kind of the object.
    pub kind: String,
    /// The subresource, such as `status`; empty for the object itself.
    pub subresource: String,
    /// The namespace; empty for an object without one.
    pub namespace: String,
    /// The object after the operation; `null` for a deletion.
    pub object: Value,
    /// The object before the operation; `null` for a creation.
    pub old_object: Value,
}

/// A body that is not a review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The body is not JSON.
    #[error("invalid admission review: {reason}")]
    Syntax {
        /// The error of the JSON reader.
        reason: String,
    },
    /// The body is JSON of another version or without a member.
    #[error("invalid admission review: expected an AdmissionReview of {VERSION} with {member}")]
    Member {
        /// The missing member.
        member: &'static str,
    },
}

impl Review {
    /// Parses the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, ReviewError> {
        let review: Value =
            serde_json::from_slice(body).map_err(|error| ReviewError::Syntax { reason: error.to_string() })?;
        let is_version = review.get("apiVersion").and_then(Value::as_str) == Some(VERSION);
        if !is_version || review.get("kind").and_then(Value::as_str) != Some("AdmissionReview") {
            return Err(ReviewError::Member { member: "`apiVersion` and `kind`" });
        }
        let request = review.get("request").ok_or(ReviewError::Member { member: "`request`" })?;
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let operation = match text("/operation").as_str() {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            "CONNECT" => Operation::Connect,
            _ => return Err(ReviewError::Member { member: "`request.operation`" }),
        };
        let (uid, kind) = (text("/uid"), text("/kind/kind"));
        if uid.is_empty() {
            return Err(ReviewError::Member { member: "`request.uid`" });
        }
        if kind.is_empty() {
            return Err(ReviewError::Member { member: "`request.kind.kind`" });
        }
        let member = |name: &str| request.get(name).cloned().unwrap_or(Value::Null);
        Ok(Self {
            uid,
            operation,
            kind,
            subresource: text("/subResource"),
            namespace: text("/namespace"),
            object: member("object"),
            old_object: member("oldObject"),
        })
    }

    /// The response with a verdict.
    #[must_use]
    pub fn response(&self, verdict: &AdmissionVerdict) -> Value {
        let is_allowed = matches!(verdict, AdmissionVerdict::Allowed { .. });
        let mut response =
            Map::from_iter([("uid".to_owned(), json!(self.uid)), ("allowed".to_owned(), json!(is_allowed))]);
        let mut set = |name: &str, value: Value| drop(response.insert(name.to_owned(), value));
        match verdict {
            AdmissionVerdict::Allowed { patch, warnings } => {
                if !patch.is_empty() {
                    set("patchType", json!("JSONPatch"));
                    set("patch", json!(STANDARD.encode(Value::Array(patch.clone()).to_string())));
                }
                let warnings = warnings.iter().take(MOST_WARNINGS);
                let warnings: Vec<String> = warnings.map(|text| text.chars().take(LONGEST_WARNING).collect()).collect();
                if !warnings.is_empty() {
                    set("warnings", json!(warnings));
                }
            }
            AdmissionVerdict::Refused { problems } => {
                set("status", json!({"code": 422, "reason": "Invalid", "message": problems.join("\n")}));
            }
        }
        json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response})
    }
}

/// The verdict on a review.
#[derive(Debug, Clone, PartialEq)]
pub enum AdmissionVerdict {
    /// The operation is allowed.
    Allowed {
        /// The operations of a JSON patch.
        patch: Vec<Value>,
        /// Texts that the client shows.
        warnings: Vec<String>,
    },
    /// The operation is refused.
    Refused {
        /// The problems, each with its member and remedy.
        problems: Vec<String>,
    },
}

impl AdmissionVerdict {
    /// The operation is allowed unchanged.
    #[must_use]
    pub const fn allowed() -> Self {
        Self::Allowed { patch: Vec::new(), warnings: Vec::new() }
    }

    /// The operation is refused for one reason.
    #[must_use]
    pub fn refused(problem: impl Into<String>) -> Self {
        Self::Refused { problems: vec![problem.into()] }
    }
}
