//! `--api-auth sts`: callers show what lets this server ask AWS who they are.
//!
//! ```text
//!  x-meshwarden-identity: a presigned GetCallerIdentity --> form, host, audience, time --> STS --> role --> allowed?
//! ```
//!
//! For reads the identity is a bearer token, which AWS is asked about once. For a write it is signed together with the
//! write, and good for nothing else.

mod ask;
mod endpoint;
mod presigned;
mod role;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, PoisonError};

use axum::http::request::Parts;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::replay::Seen;
use super::{Caller, Denial};
use crate::headers::IF_VERSION;
use ask::Sts;
pub use endpoint::{StsEndpoint, StsEndpointError};
use presigned::LONGEST_LIFE;
pub(crate) use presigned::Presigned;
use role::Session;
pub use role::{RolePattern, RolePatternError};

/// The header that has the presigned request in it.
const IDENTITY: &str = "x-meshwarden-identity";

/// How many callers' identities are remembered. A function shows another one every few minutes.
const MOST: usize = 10_000;

/// Whom `--api-auth sts` lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsSettings {
    /// The name of this server, which identities have to be signed for.
    pub audience: Audience,
    /// The roles that may call.
    pub roles: Vec<RolePattern>,
    /// Who answers instead of AWS's public endpoints.
    pub endpoint: Option<StsEndpoint>,
}

/// The name of a server that identities are signed for, so that what is shown to one is of no use at another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience(String);

/// A name that can't be signed for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no server: give 1 to 128 letters, digits, and any of . _ : / @ -")]
pub struct AudienceError(String);

impl Audience {
    /// Takes what a header can carry unchanged.
    pub fn parse(text: &str) -> Result<Self, AudienceError> {
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(AudienceError(text.to_owned())) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Asks for an identity that AWS vouches for.
#[derive(Debug)]
pub(crate) struct StsGuard {
    settings: StsSettings,
    sts: Sts,
    known: Mutex<HashMap<[u8; 32], (Session, Timestamp)>>,
    seen: Seen,
}

impl StsGuard {
    pub(super) fn new(settings: StsSettings) -> io::Result<Self> {
        let sts = Sts::new(settings.endpoint.as_ref())?;
        Ok(Self { settings, sts, known: Mutex::default(), seen: Seen::default() })
    }

    /// Judges the identity by itself.
    pub(super) fn claim(&self, parts: &Parts, now: Timestamp) -> Result<Presigned, Denial> {
        Presigned::read(parts, self.settings.endpoint.as_ref(), now)
    }

    /// Finds out who it is, and whether they may.
    pub(super) async fn settle(
        &self,
        presigned: &Presigned,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Caller, Denial> {
        let safe = parts.method.is_safe();
        let session = if let Some(session) = self.recall(presigned, now).filter(|_| safe) {
            session
        } else {
            let request = (!safe).then(|| fingerprint(parts, body));
            self.sts.caller(presigned, &self.settings.audience, request.as_deref()).await?
        };
        let role = &session.role;
        if !self.settings.roles.iter().any(|pattern| pattern.allows(role)) {
            tracing::warn!(%role, "the role is not among those of --allow-role");
            return Err(Denial::Role);
        }
        let caller = session.caller();
        if safe {
            self.remember(presigned, session, now);
            return Ok(caller);
        }
        self.seen.pass(presigned.signature(), now)?;
        tracing::info!(caller = %role, method = %parts.method, path = parts.uri.path(), "signed write");
        Ok(caller)
    }

    fn recall(&self, presigned: &Presigned, now: Timestamp) -> Option<Session> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&presigned.digest()).filter(|(_, expires)| now < *expires).map(|(session, _)| session.clone())
    }

    fn remember(&self, presigned: &Presigned, session: Session, now: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (_, expires)| now < *expires);
        }
        // What can't be remembered is asked for again.
        if known.len() < MOST {
            let latest = now.saturating_add(LONGEST_LIFE).unwrap_or(now);
            known.insert(presigned.digest(), (session, presigned.expires().min(latest)));
        }
    }
}

/// What a write is signed by: `METHOD`, path and query, the version it is based on, and the body's SHA-256, a line each;
/// of that the SHA-256, in hexadecimal digits. `shared/aws` makes the same.
fn fingerprint(parts: &Parts, body: &[u8]) -> String {
    let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let version = parts.headers.get(IF_VERSION).and_then(|version| version.to_str().ok()).unwrap_or_default();
    let text = format!("{}\n{uri}\n{version}\n{}", parts.method, hex(&Sha256::digest(body)));
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
