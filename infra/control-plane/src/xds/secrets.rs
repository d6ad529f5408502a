//! What secrets are made of: asked of whoever keeps certificates.

use std::fmt;

use jiff::Timestamp;
use tokio::sync::watch;
use xds::{SecretMaterial, SecretRef};

/// A certificate that a secret holds, as people and rotations know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCertificate {
    /// SHA-256 over the leaf's DER, in lower-case hexadecimal.
    pub fingerprint: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// The material of a secret, and what there is to say about it without showing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSecret {
    /// The material.
    pub material: SecretMaterial,
    /// The certificates in it, the leaf or the roots.
    pub certificates: Vec<ServedCertificate>,
}

/// A keeper of certificates.
pub trait Secrets: fmt::Debug + Send + Sync + 'static {
    /// What a secret is made of now; `None` while that is not known. Returns at once: a keeper that does not know yet
    /// goes and asks, and tells through [`Secrets::changes`] when it knows.
    fn find(&self, secret: &SecretRef) -> Option<KnownSecret>;

    /// Changes whenever [`Secrets::find`] may answer differently.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Knows no secret.
#[derive(Debug)]
pub struct NoSecrets {
    never: watch::Sender<u64>,
}

impl Default for NoSecrets {
    fn default() -> Self {
        Self { never: watch::Sender::new(0) }
    }
}

impl Secrets for NoSecrets {
    fn find(&self, _: &SecretRef) -> Option<KnownSecret> {
        None
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.never.subscribe()
    }
}
