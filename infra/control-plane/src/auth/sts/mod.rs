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
mod memory;
mod presigned;
mod role;
mod turns;

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::replay::{Seen, SignedWrite};
use super::{Caller, Denial};
use crate::connections::Client;
use crate::headers::IF_VERSION;
use crate::listen::Peer;
use crate::metrics::ConnectionMetrics;
use ask::{Lane, Sts};
pub use endpoint::{StsEndpoint, StsEndpointError};
use memory::Memory;
use presigned::LONGEST_LIFE;
pub(crate) use presigned::Presigned;
use role::Session;
pub use role::{RolePattern, RolePatternError};

/// The header that has the presigned request in it.
const IDENTITY: &str = "x-meshwarden-identity";

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
    memory: Mutex<Memory>,
    seen: Seen,
    metrics: ConnectionMetrics,
}

impl StsGuard {
    pub(super) fn new(settings: StsSettings, metrics: ConnectionMetrics) -> io::Result<Self> {
        let sts = Sts::new(settings.endpoint.as_ref())?;
        let seen = Seen::new(metrics.clone());
        Ok(Self { settings, sts, memory: Mutex::default(), seen, metrics })
    }

    /// Judges the identity by itself, before anything of the body is read.
    pub(super) fn claim(&self, parts: &Parts, now: Timestamp) -> Result<Presigned, Denial> {
        let presigned = Presigned::read(parts, self.settings.endpoint.as_ref(), now)?;
        let memory = self.memory();
        if let Some(refusal) = memory.refusal(&presigned.digest(), now) {
            drop(memory);
            self.metrics.sts("remembered_refusal");
            return Err(refusal);
        }
        let known = memory.session(&presigned.digest(), now).is_some() || memory.knows(presigned.credentials(), now);
        drop(memory);
        if !known && self.sts.is_full(client(parts)) {
            self.metrics.sts("queue_full");
            return Err(Denial::Congested);
        }
        Ok(presigned)
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
            self.ask(presigned, request.as_deref(), client(parts), now).await?
        };
        let role = &session.role;
        let caller = session.caller();
        if safe {
            self.remember(presigned, session, now);
            return Ok(caller);
        }
        let owner = role.to_string();
        let write = SignedWrite { signature: presigned.signature(), until: presigned.expires(), owner: &owner };
        self.seen.pass(&write, now)?;
        tracing::info!(caller = %role, method = %parts.method, path = parts.uri.path(), "signed write");
        Ok(caller)
    }

    /// Has STS say who it is, and judges whether that caller may call.
    async fn ask(
        &self,
        presigned: &Presigned,
        request: Option<&str>,
        client: Client,
        now: Timestamp,
    ) -> Result<Session, Denial> {
        let lane = if self.memory().knows(presigned.credentials(), now) { Lane::Known } else { Lane::Unknown(client) };
        let asked = self.sts.caller(presigned, &self.settings.audience, request, lane).await;
        let allowed = asked.and_then(|session| {
            let role = &session.role;
            if self.settings.roles.iter().any(|pattern| pattern.allows(role)) {
                return Ok(session);
            }
            tracing::warn!(%role, "the role is not among those of --allow-role");
            Err(Denial::Role)
        });
        let (credentials, identity) = (presigned.credentials(), presigned.digest());
        match &allowed {
            Ok(_) => {
                self.memory().vouched(credentials, now);
                self.metrics.sts("vouched");
            }
            Err(why @ (Denial::Unvouched | Denial::Role)) => {
                self.memory().refuse(identity, credentials, *why, now);
                self.metrics.sts("refused");
            }
            Err(Denial::Congested) => self.metrics.sts("queue_full"),
            Err(_) => self.metrics.sts("unavailable"),
        }
        allowed
    }

    fn recall(&self, presigned: &Presigned, now: Timestamp) -> Option<Session> {
        self.memory().session(&presigned.digest(), now).cloned()
    }

    fn remember(&self, presigned: &Presigned, session: Session, now: Timestamp) {
        let latest = now.saturating_add(LONGEST_LIFE).unwrap_or(now);
        self.memory().keep(presigned.digest(), session, presigned.expires().min(latest));
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client that a request came from.
fn client(parts: &Parts) -> Client {
    parts.extensions.get::<ConnectInfo<Peer>>().map_or(Client::V4(0), |ConnectInfo(peer)| peer.client())
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
