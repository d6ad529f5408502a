//! Tokens that a Kubernetes cluster issues to its service accounts, verified by the cluster's published keys.

use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use super::ClusterSettings;
use super::cluster_keys::KeySource;
use super::jws::{self, UnverifiedToken};
use crate::auth::Audience;
use crate::tls::TlsError;
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

/// The published keys of a cluster.
#[derive(Debug)]
pub(super) struct ClusterKeys(Vec<(String, ClusterKey)>);

/// One public key. The algorithm follows from the key, never from a token.
pub(super) enum ClusterKey {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm())
    }
}

/// The keys of the cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterKeysError {
    /// The file cannot be read.
    #[error("failed to read the keys of the cluster from {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The content is not a set of keys.
    #[error("invalid keys of the cluster in {path}: expected a JSON Web Key Set", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The error of the JSON reader.
        source: serde_json::Error,
    },
    /// No key can verify tokens.
    #[error("{path} has no RSA or P-256 key with a key id", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The address of the keys is not a URL, or another machine could replace the keys on their way.
    #[error("invalid address of the keys of the cluster `{url}`: expected a file or https://HOST/PATH")]
    Url {
        /// The address.
        url: String,
    },
    /// TLS to the cluster cannot be set up.
    #[error("failed to set up TLS to the keys of the cluster")]
    Tls(#[from] TlsError),
    /// The root certificates of this machine cannot be read.
    #[error("failed to read the root certificates of this machine, which verify the cluster")]
    Roots(#[source] io::Error),
}

#[derive(Deserialize)]
struct KeySetDocument {
    keys: Vec<KeyDocument>,
}

#[derive(Deserialize)]
struct KeyDocument {
    kty: String,
    #[serde(default)]
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
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
        let issued = claims.iat.map(time).transpose()?.unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(AccountToken { subject: claims.sub, id: claims.jti, issued, refused_from })
    }
}

impl ClusterKeys {
    /// The keys of a JSON Web Key Set; `None` if it has none that verifies tokens.
    pub(super) fn parse(document: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        let document: KeySetDocument = serde_json::from_slice(document)?;
        let keys: Vec<_> = document.keys.iter().filter_map(|key| Some((key.kid.clone(), key.key()?))).collect();
        Ok(if keys.is_empty() { None } else { Some(Self(keys)) })
    }

    pub(super) fn find(&self, id: &str) -> Option<&ClusterKey> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, key)| key)
    }
}

impl ClusterKey {
    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        let text = text.as_bytes();
        match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, text, signature).is_ok()
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(text, signature).is_ok()
            }
        }
    }
}

impl KeyDocument {
    /// The key; `None` for one that signs no tokens, or of another kind.
    fn key(&self) -> Option<ClusterKey> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") || self.kid.is_empty() {
            return None;
        }
        let number = |text: &Option<String>| jws::decode(text.as_deref()?);
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some(ClusterKey::Rsa { n: number(&self.n)?, e: number(&self.e)? }),
            ("EC", Some("P-256")) => {
                let (x, y) = (number(&self.x)?, number(&self.y)?);
                (x.len() == 32 && y.len() == 32).then(|| ClusterKey::P256([&[4], x.as_slice(), y.as_slice()].concat()))
            }
            _ => None,
        }
    }
}
