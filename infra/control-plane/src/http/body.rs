//! Request bodies.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use mesh::resource::Tag;
use mesh::validate::{self, Violation};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::auth::Denial;
use crate::connections::Reservation;
use crate::error::ApiError;
use crate::state::ClientToken;
use crate::text;

/// The largest body that is parsed, in bytes. A virtual node at every quota, with a client policy for each backend,
/// is far smaller.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// How much of a larger body is read and dropped, in bytes, so that the sender can read the error. Closing earlier
/// would reset the connection while it is sending.
const MAX_DRAINED: usize = 16 * MAX_BODY;

/// The timeout of a body. The largest takes a second on a slow line.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body, into reserved memory if the caller is unknown.
pub(super) async fn read(body: Body, unknown: Option<&Reservation>) -> Result<Bytes, ApiError> {
    let length = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if length > MAX_DRAINED {
        return Err(too_large());
    }
    match timeout(BODY_TIMEOUT, read_all(body, unknown)).await {
        Ok(read) => read,
        Err(_) => Err(Denial::Slow.into()),
    }
}

async fn read_all(body: Body, unknown: Option<&Reservation>) -> Result<Bytes, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut length: usize = 0;
    loop {
        let chunk = match unknown {
            None => chunks.next().await,
            Some(reservation) => tokio::select! {
                biased;
                () = reservation.displaced() => return Err(Denial::Congested.into()),
                chunk = chunks.next() => chunk,
            },
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|error| ApiError::invalid("body", format!("cannot be read: {error}")))?;
        length = length.saturating_add(chunk.len());
        if length <= MAX_BODY {
            if let Some(reservation) = unknown {
                reservation.grow(chunk.len()).map_err(|_| Denial::Congested)?;
            }
            kept.extend_from_slice(&chunk);
        } else if length > MAX_DRAINED {
            break;
        } else {
            kept = BytesMut::new();
        }
    }
    if length > MAX_BODY {
        return Err(too_large());
    }
    if let Some(reservation) = unknown {
        reservation.complete();
    }
    Ok(kept.freeze())
}

fn too_large() -> ApiError {
    ApiError::invalid("body", format!("is larger than {MAX_BODY} bytes"))
}

/// The members of a JSON body, removed as they are read.
#[derive(Debug)]
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Parses a body. An empty one has no members.
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

    /// Removes a member that must be a string.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.0.shift_remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(ApiError::invalid(name, format!("must be a string, not {}", kind(&other)))),
        }
    }

    /// Removes a member of any type.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    /// The number of items of a list member.
    pub(super) fn length(&self, name: &str) -> usize {
        self.0.get(name).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Removes the client token.
    pub(super) fn client_token(&mut self) -> Result<Option<ClientToken>, ApiError> {
        let token = self.text("clientToken")?;
        Ok(token.as_deref().map(ClientToken::parse).transpose()?)
    }

    /// Removes the tags.
    pub(super) fn tags(&mut self) -> Result<Option<Vec<Tag>>, ApiError> {
        let tags = self.checked("tags", validate::tags)?;
        let mut keys = BTreeSet::new();
        for tag in tags.iter().flatten() {
            if let Some(problem) = text::tag_problem(tag.key.as_str(), tag.value.as_str()) {
                return Err(ApiError::invalid("tags", problem));
            }
            if !keys.insert(tag.key.as_str()) {
                return Err(ApiError::invalid("tags", format!("have the key {:?} more than once", tag.key)));
            }
        }
        Ok(tags)
    }

    /// Removes the tag keys.
    pub(super) fn tag_keys(&mut self) -> Result<Option<Vec<String>>, ApiError> {
        let keys = self.checked("tagKeys", validate::tag_keys)?;
        match keys.iter().flatten().find_map(|key| text::tag_problem(key, "")) {
            Some(problem) => Err(ApiError::invalid("tagKeys", problem)),
            None => Ok(keys),
        }
    }

    fn checked<T>(
        &mut self,
        name: &str,
        check: impl FnOnce(&Value) -> Result<T, Vec<Violation>>,
    ) -> Result<Option<T>, ApiError> {
        let checked = self.value(name).as_ref().map(check).transpose();
        checked.map_err(|violations| ApiError::Invalid { violations })
    }

    /// Refuses members that are left. Members of the URI may be repeated in the body, as in input files of the
    /// AWS CLI.
    pub(super) fn finish(mut self, in_uri: &[&str]) -> Result<(), ApiError> {
        self.0.retain(|name, _| !in_uri.contains(&name.as_str()));
        match self.0.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(ApiError::invalid(unknown.as_str(), "is not a member of this request")),
        }
    }
}

/// The type of a JSON value, in words.
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
