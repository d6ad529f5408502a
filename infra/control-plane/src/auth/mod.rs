//! Who may call the API.
//!
//! ```text
//!  head of the request --> claim: form, scope, key, date --> body --> settle: is the claim true? --> may this caller?
//! ```
//!
//! Nothing of a body is taken in before the head has been found to be worth it.

mod denial;
mod keys;
mod replay;
mod signature;
mod site;
mod sts;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::http::request::Parts;
use jiff::Timestamp;

use crate::metrics::ConnectionMetrics;
use crate::state::Region;
pub use denial::Denial;
pub use keys::KeyFileError;
use keys::{Key, KeyFile};
use replay::{Seen, SignedWrite};
pub use sts::{Audience, AudienceError, RolePattern, RolePatternError, StsEndpoint, StsEndpointError, StsSettings};
use sts::{Presigned, StsGuard};

/// What the signatures of unknown keys are checked with.
const NO_SECRET: &str = "the secret of no key";

/// How callers prove who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ApiAuth {
    /// Not at all: only this machine may call, and no page in a browser.
    #[default]
    Loopback,
    /// With an AWS signature (version 4) of a key in this file.
    Keys(PathBuf),
    /// With an identity that AWS vouches for.
    Sts(StsSettings),
}

/// Why nobody could be let in.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The keys can't be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// STS could not be told from somebody else.
    #[error("read this machine's root certificates, which STS is known by")]
    Roots(#[source] io::Error),
}

/// Decides on every request.
#[derive(Debug)]
pub(crate) enum Guard {
    Loopback(SocketAddr),
    Keys(Box<KeyGuard>),
    Sts(Box<StsGuard>),
}

/// Asks for a signature of a known key.
#[derive(Debug)]
pub(crate) struct KeyGuard {
    file: KeyFile,
    region: Region,
    seen: Seen,
}

/// Who made a request, as far as was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Somebody on this machine.
    Anybody,
    /// Whoever has this key.
    Key { id: String, name: String },
    /// A session of a role.
    Session {
        /// The session's ARN.
        arn: String,
        account: String,
        /// The role's ARN.
        role: String,
        /// The role's name.
        name: String,
    },
}

/// What is left to be found out about a request whose head is in order.
#[derive(Debug)]
pub(crate) enum Claim<'a> {
    /// Nothing.
    Settled,
    /// Whether this key signed it. The body of a request by an unknown key is read all the same, so that keys that exist
    /// can't be told from others.
    Signature { guard: &'a KeyGuard, claim: signature::Claim<'a>, key: Option<Arc<Key>> },
    /// Whether AWS vouches for this.
    Identity { guard: &'a StsGuard, presigned: Presigned },
}

impl Guard {
    pub(crate) fn new(
        auth: &ApiAuth,
        addr: SocketAddr,
        region: Region,
        metrics: ConnectionMetrics,
    ) -> Result<Self, GuardError> {
        Ok(match auth {
            ApiAuth::Loopback => Self::Loopback(addr),
            ApiAuth::Keys(path) => {
                Self::Keys(Box::new(KeyGuard { file: KeyFile::open(path)?, region, seen: Seen::new(metrics) }))
            }
            ApiAuth::Sts(settings) => {
                Self::Sts(Box::new(StsGuard::new(settings.clone(), metrics).map_err(GuardError::Roots)?))
            }
        })
    }

    /// Why nobody can be let in at the moment, if so.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        match self {
            Self::Loopback(_) | Self::Sts(_) => None,
            Self::Keys(guard) => guard.file.current().is_err().then_some("the key file can't be used"),
        }
    }

    /// Judges the head of a request.
    pub(crate) fn claim<'a>(&'a self, parts: &'a Parts, now: Timestamp) -> Result<Claim<'a>, Denial> {
        match self {
            Self::Loopback(addr) => site::check(parts, *addr).map(|()| Claim::Settled),
            Self::Keys(guard) => {
                let claim = signature::Claim::read(parts, guard.region.as_str(), now)?;
                let key = guard.file.current()?.find(claim.key_id());
                Ok(Claim::Signature { guard, claim, key })
            }
            Self::Sts(guard) => Ok(Claim::Identity { guard, presigned: guard.claim(parts, now)? }),
        }
    }
}

impl Claim<'_> {
    /// Whether the body has to be known.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self, Self::Settled)
    }

    /// Lets the request pass and says whose it is, or why not.
    pub(crate) async fn settle(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<Caller, Denial> {
        let (method, path) = (&parts.method, parts.uri.path());
        match self {
            Self::Settled => Ok(Caller::Anybody),
            Self::Identity { guard, presigned } => guard.settle(presigned, parts, body, now).await,
            Self::Signature { guard, claim, key } => {
                // A signature by a secret that no key has takes as long to check, and is never right.
                let secret = key.as_ref().map_or(NO_SECRET, |key| &key.secret);
                let matches = claim.matches(secret, parts, body, guard.region.as_str())?;
                let Some(key) = key.as_ref().filter(|_| matches) else { return Err(Denial::Mismatch) };
                let caller = Caller::Key { id: claim.key_id().to_owned(), name: key.name.clone() };
                if method.is_safe() {
                    return Ok(caller);
                }
                if key.read_only {
                    return Err(Denial::ReadOnly);
                }
                let write = SignedWrite { signature: claim.signature(), until: claim.until(), owner: claim.key_id() };
                guard.seen.pass(&write, now)?;
                tracing::info!(caller = %key.name, %method, path, "signed write");
                Ok(caller)
            }
        }
    }
}
