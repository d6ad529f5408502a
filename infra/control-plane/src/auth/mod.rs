//! Who may call the API.

mod keys;
mod replay;
mod signature;
mod site;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::request::Parts;
use jiff::Timestamp;

use crate::state::Region;
use keys::KeyFile;
pub use keys::KeyFileError;
use replay::Seen;

/// How callers prove who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ApiAuth {
    /// Not at all: only this machine may call, and no page in a browser.
    #[default]
    Loopback,
    /// With an AWS signature (version 4) of a key in this file.
    Keys(PathBuf),
}

/// Decides on every request.
#[derive(Debug)]
pub(crate) enum Guard {
    Loopback(SocketAddr),
    Keys { file: KeyFile, region: Region, seen: Seen },
}

/// Why a request is refused. Nothing in it tells whether a key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A name that resolves to loopback, in a browser that was led here.
    #[error("the Host header names neither loopback nor the address listened on")]
    Host,
    /// A page of another site.
    #[error("the Origin header names another site")]
    Origin,
    /// No signature.
    #[error("the request is not signed: the Authorization header with an AWS signature (version 4) is missing")]
    Unsigned,
    /// A header that is not as signature version 4 has it.
    #[error("the Authorization header is not a complete AWS4-HMAC-SHA256 one")]
    Malformed,
    /// The scope is that of another service, region or day.
    #[error("the credential's scope must be the day of x-amz-date, this server's region, appmesh, aws4_request")]
    Scope,
    /// What has to be signed is not.
    #[error("host and x-amz-date must be signed, and every signed header must be present")]
    Headers,
    /// Too old.
    #[error("the signature has expired: x-amz-date is more than 5 minutes ago")]
    Expired,
    /// Too new.
    #[error("the signature is not valid yet: x-amz-date is more than 5 minutes ahead")]
    Future,
    /// Another key, or another request than the signed one.
    #[error("the key is unknown, or the signature does not match the request")]
    Mismatch,
    /// A write that was sent before.
    #[error("this signed write was received before; sign it again, or give it a clientToken")]
    Replayed,
    /// More writes than can be remembered.
    #[error("too many writes within the last minutes; try again later")]
    Crowded,
    /// The key is for reading.
    #[error("this key may only read")]
    ReadOnly,
}

impl Guard {
    pub(crate) fn new(auth: &ApiAuth, addr: SocketAddr, region: Region) -> Result<Self, KeyFileError> {
        Ok(match auth {
            ApiAuth::Loopback => Self::Loopback(addr),
            ApiAuth::Keys(path) => Self::Keys { file: KeyFile::open(path)?, region, seen: Seen::default() },
        })
    }

    /// Whether the decision depends on the body.
    pub(crate) const fn reads_body(&self) -> bool {
        matches!(self, Self::Keys { .. })
    }

    /// Lets a request pass, or says why not.
    pub(crate) fn admit(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<(), Denial> {
        match self {
            Self::Loopback(addr) => site::check(parts, *addr),
            Self::Keys { file, region, seen } => {
                let claim = signature::Claim::read(parts, region.as_str(), now)?;
                let keys = file.current();
                let key = keys.find(claim.key_id());
                // An unknown key costs the same work as a known one.
                let matches = claim.matches(key.map_or("", |key| key.secret.as_str()), parts, body)?;
                let key = key.filter(|_| matches).ok_or(Denial::Mismatch)?;
                if parts.method.is_safe() {
                    return Ok(());
                }
                if key.read_only {
                    return Err(Denial::ReadOnly);
                }
                if !has_client_token(body) {
                    seen.first(claim.signature(), claim.expires(), now)?;
                }
                tracing::info!(caller = %key.name, method = %parts.method, path = parts.uri.path(), "signed write");
                Ok(())
            }
        }
    }
}

/// Whether the write can be repeated without harm.
fn has_client_token(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Token {
        client_token: Option<String>,
    }
    serde_json::from_slice::<Token>(body).is_ok_and(|body| body.client_token.is_some())
}
