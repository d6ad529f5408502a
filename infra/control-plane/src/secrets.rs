//! What secrets are made of: asked of whoever keeps certificates.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use tokio::sync::watch;
use xds::{SecretMaterial, SecretRef};

/// A certificate that a secret holds, as people and rotations know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCertificate {
    /// SHA-256 over its DER, in lower-case hexadecimal.
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

/// What is wrong with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretProblem {
    /// A stable id, one of [`problem`].
    pub id: &'static str,
    /// What it is, and how to mend it.
    pub message: String,
}

/// The ids of what is wrong with secrets. They are findings of the proxies that need them.
pub mod problem {
    /// A certificate in ACM whose key ACM doesn't give away, and no bundle that is bound has it either.
    pub const NOT_DISTRIBUTABLE: &str = "certificate-not-distributable";
    /// Whoever keeps it doesn't give it: it is not there, not ours to have, or they don't answer.
    pub const UNAVAILABLE: &str = "certificate-unavailable";
    /// What is kept can't be used: it can't be read, or the key is not the certificate's.
    pub const BROKEN: &str = "certificate-broken";
    /// Served, and past its validity.
    pub const EXPIRED: &str = "certificate-expired";
    /// Nobody is asked for it.
    pub const NO_SOURCE: &str = "certificate-without-source";
    /// Trust where a certificate with its key is needed, or the other way round.
    pub const WRONG_ROLE: &str = "certificate-in-wrong-role";
    /// The mesh may not name it.
    pub const NOT_ALLOWED: &str = "certificate-not-allowed";
    /// Asked for, and not answered yet.
    pub const PENDING: &str = "certificate-pending";
}

/// What a keeper has of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This, and what is wrong with it nevertheless: it is the last good one, or past its validity.
    Known(KnownSecret, Option<SecretProblem>),
    /// Nothing yet: it is being asked for.
    Pending,
    /// Nothing, and why.
    Missing(SecretProblem),
}

/// What a keeper tells of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReport {
    /// Its name in SDS.
    pub name: String,
    /// The certificates in it; none while it is not known.
    pub certificates: Vec<ServedCertificate>,
    /// What is wrong with it.
    pub problem: Option<SecretProblem>,
    /// When it was last asked for, with whatever outcome.
    pub checked: Option<Timestamp>,
}

/// A keeper of certificates.
pub trait Secrets: fmt::Debug + Send + Sync + 'static {
    /// What a secret is made of now. Returns at once: a keeper that does not know yet goes and asks, and tells through
    /// [`Secrets::changes`] when it knows.
    fn find(&self, secret: &SecretRef) -> Found;

    /// Changes whenever [`Secrets::find`] may answer differently.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Told now and then what connected proxies are served: of anything else nothing need be kept.
    fn in_use(&self, _: &BTreeSet<SecretRef>) {}

    /// Asks for everything anew at once; gives how much that is.
    fn refresh(&self) -> usize {
        0
    }

    /// Everything that is kept or missed.
    fn told(&self) -> Vec<SecretReport> {
        Vec::new()
    }
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
    fn find(&self, _: &SecretRef) -> Found {
        let message = "nobody is asked for certificates: start the control plane with --certificates aws".to_owned();
        Found::Missing(SecretProblem { id: problem::NO_SOURCE, message })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.never.subscribe()
    }
}
