//! A JSON Web Key Set: the published keys of a cluster.

use std::fmt;
use std::io;
use std::path::PathBuf;

use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use super::jws;
use crate::tls::TlsError;

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
    pub(super) const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    pub(super) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
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
