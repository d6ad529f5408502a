use async_trait::async_trait;
use jiff::Timestamp;

use super::{AuthorityArn, Chain, IdempotencyToken, IssuedArn, KeyAlgorithm};
use crate::PortError;

/// Issues certificates. There is no list of what it revoked: a CA tells that in its CRL and audit reports only, and ACM in
/// the status of a certificate.
#[async_trait]
pub trait CertificateAuthority: Send + Sync + std::fmt::Debug {
    /// One CA.
    async fn describe(&self, authority: &AuthorityArn) -> Result<Authority, PortError>;

    /// The CA's own certificate, with its issuers where it is not a root. Refused of one that has none yet.
    async fn certificate(&self, authority: &AuthorityArn) -> Result<Chain, PortError>;

    /// Orders a certificate. Every order is billed; within five minutes of the first, one with the same token is the
    /// same order. Refused ([`Other`](crate::PortErrorKind::Other)) of a CA that is not active, and for a validity
    /// beyond the CA's own.
    async fn issue(&self, order: &Order) -> Result<IssuedArn, PortError>;

    /// What became of an order.
    async fn issued(&self, certificate: &IssuedArn) -> Result<Issuance, PortError>;
}

/// A private CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its ARN, which stays the same when it gets a new certificate; its key stays the same too.
    pub arn: AuthorityArn,
    /// Its place in the hierarchy.
    pub kind: AuthorityKind,
    /// Its state: only an active one issues.
    pub status: AuthorityStatus,
    /// How long what it issues may be valid.
    pub usage: AuthorityUsage,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Type and size of its key, which is not that of what it issues.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// The beginning of its certificate's validity, once it has one.
    pub not_before: Option<Timestamp>,
    /// The end of its certificate's validity: nothing that it issues may end later.
    pub not_after: Option<Timestamp>,
}

/// A CA's place in the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityKind {
    /// It signed its own certificate.
    Root,
    /// Another CA signed its certificate.
    Subordinate,
    /// Another place, as the service calls it.
    Unrecognised(String),
}

/// The state of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityStatus {
    /// Being made.
    Creating,
    /// Waiting for its own certificate.
    PendingCertificate,
    /// It issues.
    Active,
    /// Deleted, and for some days not for good.
    Deleted,
    /// Switched off by somebody.
    Disabled,
    /// Past its own validity.
    Expired,
    /// Could not be made.
    Failed,
    /// Another state, as the service calls it.
    Unrecognised(String),
}

/// How long what a CA issues may be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityUsage {
    /// As long as the CA itself.
    GeneralPurpose,
    /// At most seven days.
    ShortLived,
    /// Another usage, as the service calls it.
    Unrecognised(String),
}

/// An order for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who is to issue it.
    pub authority: AuthorityArn,
    /// The certificate signing request, PEM.
    pub request: String,
    /// What the certificate may be used for.
    pub template: Template,
    /// How the CA signs; it must suit the CA's key.
    pub signing: SigningAlgorithm,
    /// The end of the validity, to the second. It begins an hour before the issuance, so that clocks may differ.
    pub not_after: Timestamp,
    /// Makes a repetition within five minutes the same order.
    pub token: IdempotencyToken,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Servers and clients: what both ends of a mutual TLS present.
    EndEntity,
    /// Servers only.
    EndEntityServerAuth,
    /// Clients only.
    EndEntityClientAuth,
}

impl Template {
    /// The name that a private CA knows it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EndEntity => "EndEntityCertificate/V1",
            Self::EndEntityServerAuth => "EndEntityServerAuthCertificate/V1",
            Self::EndEntityClientAuth => "EndEntityClientAuthCertificate/V1",
        }
    }
}

/// How a CA signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA over SHA-256.
    Sha256WithEcdsa,
    /// ECDSA over SHA-384.
    Sha384WithEcdsa,
    /// RSA (PKCS#1 v1.5) over SHA-256.
    Sha256WithRsa,
    /// RSA (PKCS#1 v1.5) over SHA-384.
    Sha384WithRsa,
}

impl SigningAlgorithm {
    /// What suits a CA's key; `None` for a key that is not known here.
    #[must_use]
    pub fn suiting(key: &KeyAlgorithm) -> Option<Self> {
        match key {
            KeyAlgorithm::Rsa1024 | KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 => Some(Self::Sha256WithRsa),
            KeyAlgorithm::Rsa4096 => Some(Self::Sha384WithRsa),
            KeyAlgorithm::EcPrime256v1 => Some(Self::Sha256WithEcdsa),
            KeyAlgorithm::EcSecp384r1 | KeyAlgorithm::EcSecp521r1 => Some(Self::Sha384WithEcdsa),
            KeyAlgorithm::Unrecognised(_) => None,
        }
    }
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuance {
    /// Not issued yet: ask again in some seconds.
    InProgress,
    /// Will never be issued.
    Failed {
        /// What the CA says of it.
        reason: String,
    },
    /// Here it is.
    Issued(Chain),
}
