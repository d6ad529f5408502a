//! Authentication of API callers.
//!
//! ```text
//!  head of the request --> claim: form, scope, key, date --> body --> settle: is the claim true? --> may this caller?
//! ```
//!
//! The server reads no byte of a body before the head of the request has passed.

mod caller;
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

use crate::connections::ConnectionMetrics;
pub use crate::denial::Denial;
use crate::state::{Region, SignatureHash, WriteSignature};
pub(crate) use caller::Caller;
pub use keys::KeyFileError;
use keys::{Key, KeyFile};
use replay::{ReplayMemory, SignedWrite};
use signature::SignatureClaim;
pub use sts::{Audience, AudienceError, RolePattern, RolePatternError, StsEndpoint, StsEndpointError, StsSettings};
use sts::{Presigned, StsGuard};

/// The secret that checks signatures of unknown keys, so that the check takes as long as for a known key.
const NO_SECRET: &str = "the secret of no key";

/// How callers authenticate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ApiAuth {
    /// Callers do not authenticate: only this machine may call, and no page in a browser.
    #[default]
    Loopback,
    /// With an AWS signature (version 4) by a key of this file.
    Keys(PathBuf),
    /// With an identity that AWS STS confirms.
    Sts(StsSettings),
}

/// Authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The key file is invalid.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The machine's root certificates cannot be read, which verify the TLS certificate of STS.
    #[error("failed to read the root certificates of this machine, which verify STS")]
    Roots(#[source] io::Error),
}

/// Authenticates every request.
#[derive(Debug)]
pub(crate) enum Guard {
    Loopback(SocketAddr),
    Keys(Box<KeyGuard>),
    Sts(Box<StsGuard>),
}

/// Requires a signature by a known key.
#[derive(Debug)]
pub(crate) struct KeyGuard {
    file: KeyFile,
    region: Region,
    seen: ReplayMemory,
}

/// The remaining check for a request after its head was accepted.
#[derive(Debug)]
pub(crate) enum Claim<'a> {
    /// No check remains.
    Settled,
    /// Whether this key signed the request. The body is read for an unknown key too, so that response times do not
    /// reveal which keys exist.
    Signature { guard: &'a KeyGuard, claim: SignatureClaim<'a>, key: Option<Arc<Key>> },
    /// Whether STS confirms this identity.
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
                Self::Keys(Box::new(KeyGuard { file: KeyFile::open(path)?, region, seen: ReplayMemory::new(metrics) }))
            }
            ApiAuth::Sts(settings) => {
                Self::Sts(Box::new(StsGuard::new(settings.clone(), metrics).map_err(GuardError::Roots)?))
            }
        })
    }

    /// The reason why every request is refused at the moment, if there is one.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match self {
            Self::Loopback(_) | Self::Sts(_) => None,
            Self::Keys(guard) => guard.file.current().is_err().then_some("the key file is invalid"),
        }
    }

    /// Checks the head of a request.
    pub(crate) fn claim<'a>(&'a self, parts: &'a Parts, now: Timestamp) -> Result<Claim<'a>, Denial> {
        match self {
            Self::Loopback(addr) => site::check(parts, *addr).map(|()| Claim::Settled),
            Self::Keys(guard) => {
                let claim = SignatureClaim::read(parts, guard.region.as_str(), now)?;
                let key = guard.file.current()?.find(claim.key_id());
                Ok(Claim::Signature { guard, claim, key })
            }
            Self::Sts(guard) => Ok(Claim::Identity { guard, presigned: guard.claim(parts, now)? }),
        }
    }
}

impl Claim<'_> {
    /// Whether the check needs the body.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self, Self::Settled)
    }

    /// The signature of the request, for replicas that share a store: each of them refuses what another one accepted.
    pub(crate) fn signature(&self, caller: &Caller) -> Option<WriteSignature> {
        let (hash, until, owner) = match self {
            Self::Settled => return None,
            Self::Signature { claim, .. } => (claim.signature(), claim.until(), claim.key_id().to_owned()),
            Self::Identity { presigned, .. } => (presigned.signature(), presigned.expires(), caller.owner().to_owned()),
        };
        Some(WriteSignature { hash: SignatureHash::new(hash), until, owner })
    }

    /// Completes the check and returns the caller, or the reason to refuse the request.
    pub(crate) async fn settle(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<Caller, Denial> {
        let (method, path) = (&parts.method, parts.uri.path());
        match self {
            Self::Settled => Ok(Caller::Local),
            Self::Identity { guard, presigned } => guard.settle(presigned, parts, body, now).await,
            Self::Signature { guard, claim, key } => {
                // A key that does not exist is checked with a secret that never matches, so that the check takes as
                // long.
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
                tracing::info!(caller = %key.name, %method, path, "accepted write signed by key");
                Ok(caller)
            }
        }
    }
}
