//! Tokens that a Kubernetes cluster issues to its service accounts, verified by the cluster's published keys.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::ClusterSettings;
use super::cluster_keys::KeySource;
use super::jws::UnverifiedToken;
use super::key_set::ClusterKeysError;
use super::lifetime::LONGEST_LIFETIME;
use crate::auth::Audience;
use crate::token_refusal::TokenRefusal;

/// The most by which the clock of the cluster may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// Verifies tokens of service accounts.
#[derive(Debug)]
pub(crate) struct ClusterTokens {
    issuer: String,
    audience: Audience,
    keys: KeySource,
    opens_streams: bool,
}

/// A verified token of a service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountToken {
    /// Such as `system:serviceaccount:shop:front`.
    pub(crate) subject: String,
    /// The id of the token, if the cluster gave it one.
    pub(crate) id: Option<String>,
    /// A token without this time counts as issued before every revocation.
    pub(crate) issued: Timestamp,
    /// The time from which it is refused, and its streams are ended.
    pub(crate) refused_from: Timestamp,
}

/// The claims that are checked. Kubernetes adds others.
#[derive(Deserialize)]
struct ServiceAccountClaims {
    iss: String,
    aud: AudienceClaim,
    sub: String,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    jti: Option<String>,
}

/// One audience, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum AudienceClaim {
    One(String),
    Several(Vec<String>),
}

impl ClusterTokens {
    pub(super) fn open(settings: &ClusterSettings, audience: Audience) -> Result<Self, ClusterKeysError> {
        let (issuer, opens_streams) = (settings.issuer.clone(), settings.streams);
        Ok(Self { issuer, audience, keys: KeySource::open(&settings.keys)?, opens_streams })
    }

    /// Whether a token of a service account opens streams of the proxies for which the account may request node tokens.
    pub(crate) const fn opens_streams(&self) -> bool {
        self.opens_streams
    }

    /// Fetches the keys of the cluster, if they come from a URL and the key of a token is unknown or they are old.
    pub(crate) async fn prepare(&self, text: &str) {
        let id = UnverifiedToken::parse(text).ok().and_then(|token| token.header.kid);
        if let Some(id) = id {
            self.keys.prepare(Some(&id)).await;
        }
    }

    /// Fetches the keys of the cluster at the start, if they come from a URL.
    pub(crate) async fn prepare_first(&self) {
        self.keys.prepare(None).await;
    }

    /// Verifies a token with the keys that are known.
    pub(crate) fn verify(&self, text: &str, now: Timestamp) -> Result<AccountToken, TokenRefusal> {
        let token = UnverifiedToken::parse(text)?;
        let keys = self.keys.current().ok_or(TokenRefusal::NoKeys)?;
        let id = token.header.kid.as_deref().ok_or(TokenRefusal::Key)?;
        let key = keys.find(id).ok_or(TokenRefusal::Key)?;
        if token.header.alg != key.algorithm() || token.header.typ.as_deref().is_some_and(|typ| typ != "JWT") {
            return Err(TokenRefusal::Algorithm);
        }
        if !key.verifies(token.signed, &token.signature) {
            return Err(TokenRefusal::Signature);
        }
        let claims: ServiceAccountClaims = token.claims()?;
        if claims.iss != self.issuer {
            return Err(TokenRefusal::Issuer);
        }
        let is_ours = |audience: &String| audience == self.audience.as_str();
        let ours = match &claims.aud {
            AudienceClaim::One(audience) => is_ours(audience),
            AudienceClaim::Several(audiences) => audiences.iter().any(is_ours),
        };
        if !ours {
            return Err(TokenRefusal::Audience);
        }
        let time = |seconds| Timestamp::from_second(seconds).map_err(|_| TokenRefusal::Claims);
        let refused_from = time(claims.exp)?.saturating_add(LEEWAY).map_err(|_| TokenRefusal::Claims)?;
        if now >= refused_from {
            return Err(TokenRefusal::Expired);
        }
        if let Some(from) = claims.nbf
            && time(from)?.duration_since(now) > LEEWAY
        {
            return Err(TokenRefusal::NotYetValid);
        }
        if claims.sub.is_empty() {
            return Err(TokenRefusal::Claims);
        }
        // A revocation is remembered for longer than any token of this lifetime is accepted.
        let issued = time(claims.iat.ok_or(TokenRefusal::Claims)?)?;
        if time(claims.exp)?.duration_since(issued) > LONGEST_LIFETIME {
            return Err(TokenRefusal::Claims);
        }
        Ok(AccountToken { subject: claims.sub, id: claims.jti, issued, refused_from })
    }
}
