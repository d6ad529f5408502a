//! Authentication with `--api-auth sts`: callers send a presigned request with which this server gets their identity
//! from STS.
//!
//! ```text
//!  x-meshwarden-identity: presigned GetCallerIdentity --> format, host, audience, time --> STS --> role --> allowed?
//! ```
//!
//! For reads the identity is a bearer token that is confirmed by STS once. For a write it is signed together with the
//! write, and valid for that write only.

mod audience;
mod cache;
mod client;
mod endpoint;
mod fair_queue;
mod presigned;
mod role;

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::caller::Caller;
use super::replay::{ReplayMemory, SignedWrite};
use crate::connections::{Client, ConnectionMetrics};
use crate::denial::Denial;
use crate::headers::IF_VERSION;
use crate::listen::ApiPeer;
pub use audience::{Audience, AudienceError};
use cache::StsCache;
use client::{Lane, StsClient};
pub use endpoint::{StsEndpoint, StsEndpointError};
use presigned::MAX_LIFETIME;
pub(crate) use presigned::Presigned;
use role::Session;
pub use role::{RolePattern, RolePatternError};

/// The callers that `--api-auth sts` accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsSettings {
    /// The name of this server, which identities have to be signed for.
    pub audience: Audience,
    /// The roles that may call.
    pub roles: Vec<RolePattern>,
    /// The endpoint of STS. Default: AWS's public endpoints.
    pub endpoint: Option<StsEndpoint>,
}

/// Requires an identity that STS confirms.
#[derive(Debug)]
pub(crate) struct StsGuard {
    settings: StsSettings,
    sts: StsClient,
    cache: Mutex<StsCache>,
    seen: ReplayMemory,
    metrics: ConnectionMetrics,
}

impl StsGuard {
    pub(super) fn new(settings: StsSettings, metrics: ConnectionMetrics) -> io::Result<Self> {
        let sts = StsClient::new(settings.endpoint.as_ref())?;
        let seen = ReplayMemory::new(metrics.clone());
        Ok(Self { settings, sts, cache: Mutex::default(), seen, metrics })
    }

    /// Checks the identity without STS, before any byte of the body is read.
    pub(super) fn claim(&self, parts: &Parts, now: Timestamp) -> Result<Presigned, Denial> {
        let presigned = Presigned::read(parts, self.settings.endpoint.as_ref(), now)?;
        let cache = self.cache();
        if let Some(refusal) = cache.refusal(&presigned.digest(), now) {
            drop(cache);
            self.metrics.sts("remembered_refusal");
            return Err(refusal);
        }
        let known = cache.session(&presigned.digest(), now).is_some() || cache.knows(presigned.credentials(), now);
        drop(cache);
        if !known && self.sts.is_full(client(parts)) {
            self.metrics.sts("queue_full");
            return Err(Denial::Congested);
        }
        Ok(presigned)
    }

    /// Finds the caller through STS or the cache, and whether it may call.
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
            self.confirm(presigned, request.as_deref(), client(parts), now).await?
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
        tracing::info!(caller = %role, method = %parts.method, path = parts.uri.path(), "accepted write signed by role");
        Ok(caller)
    }

    /// Requests the caller from STS, and checks that its role is allowed.
    async fn confirm(
        &self,
        presigned: &Presigned,
        request: Option<&str>,
        client: Client,
        now: Timestamp,
    ) -> Result<Session, Denial> {
        let lane = if self.cache().knows(presigned.credentials(), now) { Lane::Known } else { Lane::Unknown(client) };
        let session = self.sts.caller(presigned, &self.settings.audience, request, lane).await;
        let allowed = session.and_then(|session| {
            let role = &session.role;
            if self.settings.roles.iter().any(|pattern| pattern.allows(role)) {
                return Ok(session);
            }
            tracing::warn!(%role, "refused role that is not in --allow-role");
            Err(Denial::Role)
        });
        let (credentials, identity) = (presigned.credentials(), presigned.digest());
        match &allowed {
            Ok(_) => {
                self.cache().vouched(credentials, now);
                self.metrics.sts("vouched");
            }
            Err(why @ (Denial::Unvouched | Denial::Role)) => {
                self.cache().refuse(identity, credentials, *why, now);
                self.metrics.sts("refused");
            }
            Err(Denial::Congested) => self.metrics.sts("queue_full"),
            Err(_) => self.metrics.sts("unavailable"),
        }
        allowed
    }

    fn recall(&self, presigned: &Presigned, now: Timestamp) -> Option<Session> {
        self.cache().session(&presigned.digest(), now).cloned()
    }

    fn remember(&self, presigned: &Presigned, session: Session, now: Timestamp) {
        let latest = now.saturating_add(MAX_LIFETIME).unwrap_or(now);
        self.cache().keep(presigned.digest(), session, presigned.expires().min(latest));
    }

    fn cache(&self) -> MutexGuard<'_, StsCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client that a request came from.
fn client(parts: &Parts) -> Client {
    parts.extensions.get::<ConnectInfo<ApiPeer>>().map_or(Client::V4(0), |ConnectInfo(peer)| peer.client())
}

/// The text that binds a write to its signature: method, path and query, the version that the write is based on, and
/// the body's SHA-256, one line each. Returns its SHA-256 in hexadecimal digits. `shared/aws` computes the same.
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
