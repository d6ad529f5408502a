//! The secrets that proxies need, and the interface to their source.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use tokio::sync::watch;
use xds::{SecretMaterial, SecretRef};

/// A certificate in a secret, as operators and rotations identify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCertificate {
    /// SHA-256 over its DER, in lower-case hexadecimal.
    pub fingerprint: String,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// The material of a secret, with the public facts about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSecret {
    /// The material.
    pub material: SecretMaterial,
    /// Its certificates: the leaf, or the roots.
    pub certificates: Vec<ServedCertificate>,
}

/// A problem with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretProblem {
    /// A stable id, one of [`problem`].
    pub id: &'static str,
    /// The problem and its remedy.
    pub message: String,
}

/// The ids of the problems of secrets. They are findings of the proxies that need the secrets.
pub mod problem {
    /// ACM does not export the key of the certificate, and no bound bundle has it.
    pub const NOT_DISTRIBUTABLE: &str = "certificate-not-distributable";
    /// The source does not return it: it does not exist, access is denied, or the source does not respond.
    pub const UNAVAILABLE: &str = "certificate-unavailable";
    /// The content is invalid: it cannot be read, or the key does not match the certificate.
    pub const BROKEN: &str = "certificate-broken";
    /// It is served after its expiry.
    pub const EXPIRED: &str = "certificate-expired";
    /// The control plane has no source for it.
    pub const NO_SOURCE: &str = "certificate-without-source";
    /// It contains trust anchors where a certificate with its key is needed, or the other way round.
    pub const WRONG_ROLE: &str = "certificate-in-wrong-role";
    /// The mesh is not allowed to use it.
    pub const NOT_ALLOWED: &str = "certificate-not-allowed";
    /// The first request for it is in progress.
    pub const PENDING: &str = "certificate-pending";
}

/// The result of looking up a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretLookup {
    /// The secret, with its problem if it is only the last valid version or has expired.
    Known(KnownSecret, Option<SecretProblem>),
    /// The first request for it is in progress.
    Pending,
    /// It is not available, with the reason.
    Missing(SecretProblem),
}

/// The report on a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReport {
    /// Its name in SDS.
    pub name: String,
    /// Its certificates; none while it is not available.
    pub certificates: Vec<ServedCertificate>,
    /// Its problem.
    pub problem: Option<SecretProblem>,
    /// The time of the last request for it, successful or not.
    pub checked: Option<Timestamp>,
}

/// A source of secrets.
pub trait Secrets: fmt::Debug + Send + Sync + 'static {
    /// Looks up a secret. Returns at once: a source that has to request it first starts to, and reports the result through
    /// [`Secrets::changes`].
    fn find(&self, secret: &SecretRef) -> SecretLookup;

    /// Changes whenever the result of [`Secrets::find`] may have changed.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Called now and then with the secrets of connected proxies. The source may forget all others.
    fn in_use(&self, _: &BTreeSet<SecretRef>) {}

    /// Requests every secret again at once; returns their number.
    fn refresh(&self) -> usize {
        0
    }

    /// Reports on every secret, available or not.
    fn reports(&self) -> Vec<SecretReport> {
        Vec::new()
    }
}

/// A source without secrets.
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
    fn find(&self, _: &SecretRef) -> SecretLookup {
        let message = "the control plane has no source of certificates; start it with --certificates aws".to_owned();
        SecretLookup::Missing(SecretProblem { id: problem::NO_SOURCE, message })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.never.subscribe()
    }
}
