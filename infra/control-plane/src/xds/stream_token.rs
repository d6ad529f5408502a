//! The node token of a stream: verified before the first request is read, and watched until the stream ends.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::identity::{NodeToken, NodeTokens};
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
    token: Arc<NodeToken>,
    at: Instant,
    revocations: watch::Receiver<Arc<Revocations>>,
}

impl StreamTokens {
    /// The token in the metadata of a stream. The refusal reveals nothing about the node.
    pub(super) fn verify(&self, metadata: &MetadataMap, now: Timestamp) -> Result<Arc<NodeToken>, TokenRefusal> {
        let mut values = metadata.get_all("authorization").iter();
        let value = values.next().ok_or(TokenRefusal::Missing)?;
        if values.next().is_some() {
            return Err(TokenRefusal::Malformed);
        }
        let text = value.to_str().map_err(|_| TokenRefusal::Malformed)?;
        let text = text.strip_prefix("Bearer ").ok_or(TokenRefusal::Missing)?;
        // A file often ends with a line break.
        let token = self.tokens.verify(text.trim_end(), now)?;
        if is_revoked(&self.revocations.borrow(), &token) {
            return Err(TokenRefusal::Revoked);
        }
        Ok(Arc::new(token))
    }

    /// The end of the stream of a token.
    pub(super) fn end_of(&self, token: &Arc<NodeToken>, now: Timestamp) -> TokenEnd {
        let left = token.refused_from.duration_since(now).unsigned_abs();
        let left = if token.refused_from > now { left } else { std::time::Duration::ZERO };
        TokenEnd { token: Arc::clone(token), at: Instant::now() + left, revocations: self.revocations.clone() }
    }
}

impl TokenEnd {
    /// Waits until the token has expired or was revoked. `None` never ends.
    pub(super) async fn reached(end: &mut Option<Self>) -> Status {
        let Some(Self { token, at, revocations }) = end else { return std::future::pending().await };
        let revoked = async {
            if revocations.wait_for(|revocations| is_revoked(revocations, token)).await.is_err() {
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

fn is_revoked(revocations: &Revocations, token: &NodeToken) -> bool {
    revocations.include(&token.id, &token.node.path(), token.issued)
}
