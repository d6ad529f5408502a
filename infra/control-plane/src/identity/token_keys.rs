//! The keys that sign node tokens.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::jws;
use crate::reloaded::{self, ReloadedFile};

/// A key with its id: the start of the hash of its public part.
pub(super) struct TokenKey {
    pub(super) id: String,
    pair: Ed25519KeyPair,
}

/// The keys of the files in their order. The first one signs.
#[derive(Debug)]
pub(super) struct TokenKeys(Vec<ReloadedFile<Arc<TokenKey>>>);

/// A key that signs tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The file cannot be read.
    #[error("failed to read the token key {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// Users other than the owner can read the key.
    #[error("{path} is readable by users other than its owner; run chmod 600 on it", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The content is another one.
    #[error(
        "invalid token key {path}: expected an Ed25519 key as PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` writes it", path = path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
    },
}

impl TokenKeys {
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self, TokenKeyError> {
        paths.iter().map(|path| ReloadedFile::open(path, "token key", load)).collect::<Result<_, _>>().map(Self)
    }

    /// The key that signs; `None` while its file is invalid.
    pub(super) fn signing(&self) -> Option<Arc<TokenKey>> {
        self.0.first()?.current()
    }

    /// The key with this id. A key with an invalid file verifies nothing.
    pub(super) fn find(&self, id: &str) -> Option<Arc<TokenKey>> {
        self.0.iter().filter_map(ReloadedFile::current).find(|key| key.id == id)
    }
}

impl TokenKey {
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
        let hash = Sha256::digest(pair.public_key().as_ref());
        Some(Self { id: jws::encode(hash.get(..12)?), pair })
    }

    /// Signs a text; returns the encoded signature.
    pub(super) fn sign(&self, text: &str) -> String {
        jws::encode(self.pair.sign(text.as_bytes()).as_ref())
    }

    pub(super) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref()).verify(text.as_bytes(), signature).is_ok()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn load(path: &Path) -> Result<(Metadata, Arc<TokenKey>), TokenKeyError> {
    let read = reloaded::read(path).map_err(|source| TokenKeyError::Read { path: path.to_owned(), source });
    let (metadata, text) = read?;
    if metadata.mode() & 0o077 != 0 {
        return Err(TokenKeyError::Exposed { path: path.to_owned() });
    }
    let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).ok();
    let key = key.and_then(|key| TokenKey::from_pkcs8(key.secret_pkcs8_der()));
    Ok((metadata, Arc::new(key.ok_or_else(|| TokenKeyError::Format { path: path.to_owned() })?)))
}
