//! The node token of a stream: verified before the first request is read, and watched until the stream ends.

use std::sync::Arc;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::metadata::MetadataMap;
use xds::ProxyId;

use super::peer::Proof;
use crate::identity::{AccountToken, NodeToken, NodeTokens};
use crate::log::LogThrottle;
use crate::state::Revocations;
use crate::token_refusal::TokenRefusal;

/// Verifies the tokens of streams.
#[derive(Debug)]
pub(super) struct StreamTokens {
    pub(super) tokens: Arc<NodeTokens>,
    pub(super) revocations: watch::Receiver<Arc<Revocations>>,
    pub(super) refusals: LogThrottle,
}

/// The end of a stream by its token.
#[derive(Debug)]
pub(super) struct TokenEnd {
    token: StreamToken,
    at: Instant,
    revocations: watch::Receiver<Arc<Revocations>>,
}

/// What a revocation of a token, or of the tokens of a proxy, is compared with.
#[derive(Debug)]
struct StreamToken {
    id: String,
    proxy: ResourcePath,
    issued: Timestamp,
}

impl StreamTokens {
    /// The proof by the token in the metadata of a stream. The refusal reveals nothing about the node.
    pub(super) async fn verify(&self, metadata: &MetadataMap, now: Timestamp) -> Result<Proof, TokenRefusal> {
        let mut values = metadata.get_all("authorization").iter();
        let value = values.next().ok_or(TokenRefusal::Missing)?;
        if values.next().is_some() {
            return Err(TokenRefusal::Malformed);
        }
        let text = value.to_str().map_err(|_| TokenRefusal::Malformed)?;
        let text = text.strip_prefix("Bearer ").ok_or(TokenRefusal::Missing)?;
        // A file often ends with a line break.
        let text = text.trim_end();
        let token = match (self.tokens.verify(text, now), self.tokens.cluster()) {
            // It is not one of this server's own.
            (Err(TokenRefusal::Algorithm), Some(cluster)) if cluster.opens_streams() => {
                cluster.prepare(text).await;
                return cluster.verify(text, now).map(|account| Proof::Account(Arc::new(account)));
            }
            (verified, _) => verified?,
        };
        if StreamToken::from(&token).is_revoked(&self.revocations.borrow()) {
            return Err(TokenRefusal::Revoked);
        }
        Ok(Proof::Token(Arc::new(token)))
    }

    /// Whether a service account may be this proxy.
    pub(super) fn permits(&self, account: &AccountToken, node: &ProxyId) -> bool {
        self.tokens.permits(account, node)
    }

    /// The end of the stream of a token.
    pub(super) fn end_of(&self, token: &NodeToken, now: Timestamp) -> TokenEnd {
        self.end(StreamToken::from(token), token.refused_from, now)
    }

    /// The end of the stream of a service account that is this proxy. Fails if the tokens of the proxy were revoked.
    pub(super) fn end_of_account(
        &self,
        account: &AccountToken,
        proxy: &ProxyId,
        now: Timestamp,
    ) -> Result<TokenEnd, Status> {
        let id = account.id.clone().unwrap_or_default();
        let token = StreamToken { id, proxy: proxy.path(), issued: account.issued };
        if token.is_revoked(&self.revocations.borrow()) {
            return Err(Status::unauthenticated(TokenRefusal::Revoked.to_string()));
        }
        Ok(self.end(token, account.refused_from, now))
    }

    fn end(&self, token: StreamToken, refused_from: Timestamp, now: Timestamp) -> TokenEnd {
        let left = refused_from.duration_since(now).unsigned_abs();
        let left = if refused_from > now { left } else { std::time::Duration::ZERO };
        TokenEnd { token, at: Instant::now() + left, revocations: self.revocations.clone() }
    }
}

impl From<&NodeToken> for StreamToken {
    fn from(token: &NodeToken) -> Self {
        Self { id: token.id.clone(), proxy: token.node.path(), issued: token.issued }
    }
}

impl StreamToken {
    fn is_revoked(&self, revocations: &Revocations) -> bool {
        revocations.include(&self.id, &self.proxy, self.issued)
    }
}

impl TokenEnd {
    /// Waits until the token has expired or was revoked. `None` never ends.
    pub(super) async fn reached(end: &mut Option<Self>) -> Status {
        let Some(Self { token, at, revocations }) = end else { return std::future::pending().await };
        let revoked = async {
            if revocations.wait_for(|revocations| token.is_revoked(revocations)).await.is_err() {
                // The server stops, which ends the stream in another way.
                std::future::pending::<()>().await;
            }
        };
        let refusal = tokio::select! {
            () = revoked => TokenRefusal::Revoked,
            () = sleep_until(*at) => TokenRefusal::Expired,
        };
        Status::unauthenticated(refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{KeyPair, PKCS_ED25519};

    use super::*;
    use crate::auth::Audience;
    use crate::identity::IdentitySettings;
    use crate::quotas::Quotas;
    use crate::state::{Revocation, RevokedSubject};
    use crate::store::Store;

    #[tokio::test(start_paused = true)]
    async fn revocation_of_a_proxy_ends_and_refuses_streams_of_service_accounts() {
        let key = std::env::temp_dir().join(format!("meshwarden-stream-token-{}", std::process::id()));
        std::fs::write(&key, KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let audience = Audience::parse("tests").unwrap();
        let identity = IdentitySettings { audience, keys: vec![key.clone()], cluster: None };
        let tokens = Arc::new(NodeTokens::open(&identity, "123456789012".parse().unwrap()).unwrap());
        std::fs::remove_file(key).unwrap();
        let store = Arc::new(Store::new(Quotas::default()));
        let (_stop, stopping) = watch::channel(false);
        let revocations = crate::xds::revocations::follow(&store, stopping);
        let streams = StreamTokens { tokens, revocations, refusals: LogThrottle::default() };

        let now = Timestamp::now();
        let at = |seconds: i64| now.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        let account = |issued| AccountToken {
            subject: "system:serviceaccount:shop:front".to_owned(),
            id: None,
            issued,
            refused_from: at(600),
        };
        let front: ProxyId = "mesh/shop/virtualNode/front".parse().unwrap();
        let other: ProxyId = "mesh/shop/virtualNode/other".parse().unwrap();
        let mut of_front = Some(streams.end_of_account(&account(at(-9)), &front, now).unwrap());
        let mut of_other = Some(streams.end_of_account(&account(at(-9)), &other, now).unwrap());
        let subject = RevokedSubject::Proxy(front.path());
        store.revoke(&Revocation { subject, at: now, until: at(900) }).await.unwrap();
        assert_eq!(TokenEnd::reached(&mut of_front).await.message(), TokenRefusal::Revoked.to_string());
        let refused = streams.end_of_account(&account(at(-9)), &front, now).unwrap_err();
        assert_eq!(refused.message(), TokenRefusal::Revoked.to_string());
        let unknown = streams.end_of_account(&account(Timestamp::UNIX_EPOCH), &front, now);
        assert!(unknown.is_err(), "a token without a time of issue is older than the revocation");
        streams.end_of_account(&account(at(1)), &front, now).unwrap();
        assert_eq!(TokenEnd::reached(&mut of_other).await.message(), TokenRefusal::Expired.to_string());
    }
}
