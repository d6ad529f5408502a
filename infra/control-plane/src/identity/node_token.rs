//! Node tokens: issued by this server, and accepted at the start of a stream of their node.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mesh::name::AccountId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xds::ProxyId;

use super::IdentityError;
use super::jws::{self, UnverifiedToken};
use super::lifetime::LONGEST_LIFETIME;
use super::token_keys::TokenKeys;
use super::{AccountToken, IdentitySettings, cluster::ClusterTokens};
use crate::auth::{Audience, Caller};
use crate::rights::{Access, RightsGate};
use crate::token_refusal::TokenRefusal;

/// The lifetime of a token for which the request names none.
pub(crate) const USUAL_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// The most by which the clocks of two replicas may differ. For short tokens it is a tenth of the lifetime.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// The only type and algorithm of node tokens.
const TYPE: &str = "meshwarden-node+jwt";
const ALGORITHM: &str = "EdDSA";

/// The issuer of node tokens. Which server issued one follows from its key and its audience.
const ISSUER: &str = "meshwarden";

/// The claims of a node token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeClaims {
    pub(super) iss: String,
    pub(super) aud: String,
    /// The node id of the proxy.
    pub(super) sub: String,
    /// The instance that requested the token, such as the UID of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ins: Option<String>,
    pub(super) iat: i64,
    pub(super) nbf: i64,
    pub(super) exp: i64,
    pub(super) jti: String,
}

/// A verified node token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeToken {
    /// The proxy, without an owner.
    pub(crate) node: ProxyId,
    pub(crate) instance: Option<String>,
    /// The id of the token, for its revocation.
    pub(crate) id: String,
    pub(crate) issued: Timestamp,
    /// The time from which it is refused, and its streams are ended.
    pub(crate) refused_from: Timestamp,
}

/// An issued token.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub(crate) text: String,
    pub(crate) id: String,
    pub(crate) expires: Timestamp,
}

/// Issues and verifies node tokens, and verifies the tokens of a cluster.
#[derive(Debug)]
pub struct NodeTokens {
    audience: Audience,
    account: AccountId,
    keys: TokenKeys,
    cluster: Option<ClusterTokens>,
    /// Which service account may request which tokens.
    rights: Option<Arc<RightsGate>>,
}

impl NodeTokens {
    /// Reads the keys.
    pub(crate) fn open(settings: &IdentitySettings, account: AccountId) -> Result<Self, IdentityError> {
        let audience = settings.audience.clone();
        let cluster = settings.cluster.as_ref().map(|cluster| ClusterTokens::open(cluster, audience.clone()));
        let keys = TokenKeys::open(&settings.keys)?;
        Ok(Self { audience, account, keys, cluster: cluster.transpose()?, rights: None })
    }

    /// Lets service accounts open streams, by these rights.
    pub(crate) fn with_rights(self, rights: Arc<RightsGate>) -> Self {
        Self { rights: Some(rights), ..self }
    }

    /// Whether a service account may be this proxy: whether it may request a node token for it. A denial is logged.
    pub(crate) fn permits(&self, account: &AccountToken, node: &ProxyId) -> bool {
        let caller = Caller::ServiceAccount { subject: account.subject.clone() };
        let access = Access::Token(node.clone());
        self.rights.as_ref().is_some_and(|rights| rights.permit(&caller, "OpenStream", &access).is_ok())
    }

    /// The tokens of the cluster, if one is configured.
    pub(crate) const fn cluster(&self) -> Option<&ClusterTokens> {
        self.cluster.as_ref()
    }

    /// Issues a token for a proxy of this account.
    pub(crate) fn issue(
        &self,
        node: &ProxyId,
        instance: Option<String>,
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<IssuedToken, TokenRefusal> {
        let key = self.keys.signing().ok_or(TokenRefusal::NoKeys)?;
        let lifetime = lifetime.clamp(SignedDuration::from_secs(1), LONGEST_LIFETIME);
        let issued = now.as_second();
        let expires = now.saturating_add(lifetime).unwrap_or(now);
        let claims = NodeClaims {
            iss: ISSUER.to_owned(),
            aud: self.audience.as_str().to_owned(),
            sub: node.path().to_string(),
            ins: instance,
            iat: issued,
            nbf: issued,
            exp: expires.as_second(),
            jti: Uuid::new_v4().to_string(),
        };
        let unsigned = jws::unsigned(ALGORITHM, TYPE, &key.id, &claims).map_err(|_| TokenRefusal::Claims)?;
        let text = format!("{unsigned}.{}", key.sign(&unsigned));
        Ok(IssuedToken { text, id: claims.jti, expires })
    }

    /// Verifies a token. Whether it was revoked is a question to the state.
    pub(crate) fn verify(&self, text: &str, now: Timestamp) -> Result<NodeToken, TokenRefusal> {
        let token = UnverifiedToken::parse(text)?;
        if token.header.alg != ALGORITHM || token.header.typ.as_deref() != Some(TYPE) {
            return Err(TokenRefusal::Algorithm);
        }
        let key = token.header.kid.as_deref().and_then(|id| self.keys.find(id)).ok_or(TokenRefusal::Key)?;
        if !key.verifies(token.signed, &token.signature) {
            return Err(TokenRefusal::Signature);
        }
        let claims: NodeClaims = token.claims()?;
        if claims.iss != ISSUER {
            return Err(TokenRefusal::Issuer);
        }
        if claims.aud != self.audience.as_str() {
            return Err(TokenRefusal::Audience);
        }
        let time = |seconds| Timestamp::from_second(seconds).map_err(|_| TokenRefusal::Claims);
        let (issued, from, expires) = (time(claims.iat)?, time(claims.nbf)?, time(claims.exp)?);
        let lifetime = expires.duration_since(issued);
        if lifetime > LONGEST_LIFETIME || lifetime <= SignedDuration::ZERO {
            return Err(TokenRefusal::Claims);
        }
        let leeway = LEEWAY.min(lifetime / 10);
        let refused_from = expires.saturating_add(leeway).map_err(|_| TokenRefusal::Claims)?;
        if now >= refused_from {
            return Err(TokenRefusal::Expired);
        }
        if from.max(issued).duration_since(now) > leeway {
            return Err(TokenRefusal::NotYetValid);
        }
        let node: ProxyId = claims.sub.parse().map_err(|_| TokenRefusal::Claims)?;
        if node.owner.as_ref().is_some_and(|owner| *owner != self.account) {
            return Err(TokenRefusal::Claims);
        }
        let node = ProxyId { owner: None, ..node };
        Ok(NodeToken { node, instance: claims.ins, id: claims.jti, issued, refused_from })
    }
}
