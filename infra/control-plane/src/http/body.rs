//! Request bodies.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use mesh::resource::Tag;
use mesh::validate::{self, Violation};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::state::ClientToken;

/// The largest body that is read as a request. A virtual node at every quota, each backend with a policy of its own,
/// stays far below.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// How much of a larger body is still taken in, and dropped, so that the sender gets to read why it is refused: to
/// answer and close while it is sending would reset the connection under it.
const MAX_DRAINED: usize = 16 * MAX_BODY;

/// Takes in a body.
pub(super) async fn read(body: Body) -> Result<Bytes, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut length: usize = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| ApiError::invalid("body", format!("can't be read: {error}")))?;
        length = length.saturating_add(chunk.len());
        if length <= MAX_BODY {
            kept.extend_from_slice(&chunk);
        } else if length > MAX_DRAINED {
            break;
        }
    }
    if length > MAX_BODY {
        return Err(ApiError::invalid("body", format!("is larger than {MAX_BODY} bytes")));
    }
    Ok(kept.freeze())
}

/// The members of a JSON body, taken one by one.
#[derive(Debug)]
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Reads a body. An empty one has no members.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(mut members)) => {
                members.retain(|_, value| !value.is_null());
                Ok(Self(members))
            }
            Ok(other) => Err(ApiError::invalid("body", format!("must be a JSON object, not {}", kind(&other)))),
            Err(error) => Err(ApiError::invalid("body", format!("is not JSON: {error}"))),
        }
    }

    /// Takes a member that has to be text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.0.shift_remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(ApiError::invalid(name, format!("must be a string, not {}", kind(&other)))),
        }
    }

    /// Takes a member whatever it is.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    /// How many items a member that is a list has.
    pub(super) fn length(&self, name: &str) -> usize {
        self.0.get(name).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Takes the client token.
    pub(super) fn client_token(&mut self) -> Result<Option<ClientToken>, ApiError> {
        let token = self.text("clientToken")?;
        Ok(token.as_deref().map(ClientToken::parse).transpose()?)
    }

    /// Takes the tags.
    pub(super) fn tags(&mut self) -> Result<Option<Vec<Tag>>, ApiError> {
        self.checked("tags", validate::tags)
    }

    /// Takes the tag keys.
    pub(super) fn tag_keys(&mut self) -> Result<Option<Vec<String>>, ApiError> {
        self.checked("tagKeys", validate::tag_keys)
    }

    fn checked<T>(
        &mut self,
        name: &str,
        check: impl FnOnce(&Value) -> Result<T, Vec<Violation>>,
    ) -> Result<Option<T>, ApiError> {
        let checked = self.value(name).as_ref().map(check).transpose();
        checked.map_err(|violations| ApiError::Invalid { violations })
    }

    /// Refuses what is left. Members that the URI already gave may be repeated in the body, as in the input files of
    /// the AWS CLI.
    pub(super) fn finish(mut self, in_uri: &[&str]) -> Result<(), ApiError> {
        self.0.retain(|name, _| !in_uri.contains(&name.as_str()));
        match self.0.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(ApiError::invalid(unknown.as_str(), "is not a member of this request")),
        }
    }
}

/// What a JSON value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
