use async_trait::async_trait;
use jiff::Timestamp;

use super::{AuthorityArn, Chain, IdempotencyToken, IssuedArn, KeyAlgorithm};
use crate::PortError;

/// Issues certificates. Revocations are not listed: a CA publishes them only in its CRL and audit reports, and ACM in
/// the status of a certificate.
#[async_trait]
pub trait CertificateAuthority: Send + Sync + std::fmt::Debug {
    /// One CA.
    async fn describe(&self, authority: &AuthorityArn) -> Result<Authority, PortError>;

    /// The CA's own certificate, with its issuers unless it is a root. Fails for a CA without a certificate.
    async fn certificate(&self, authority: &AuthorityArn) -> Result<Chain, PortError>;

    /// Orders a certificate. Every order is billed; an order with the same token within five minutes is the same order.
    /// Returns [`Other`](crate::PortErrorKind::Other) for a CA that is not active, and for a validity beyond
    /// the CA's own.
    async fn issue(&self, order: &Order) -> Result<IssuedArn, PortError>;

    /// The state of an order.
    async fn issued(&self, certificate: &IssuedArn) -> Result<Issuance, PortError>;
}

/// A private CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its ARN, which stays the same when its certificate is replaced; its key stays the same, too.
    pub arn: AuthorityArn,
    /// Its kind in the hierarchy.
    pub kind: AuthorityKind,
    /// Its state: only an active CA issues.
    pub status: AuthorityStatus,
    /// The permitted validity of its certificates.
    pub usage: AuthorityUsage,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The algorithm and size of the CA's key.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// The beginning of the CA certificate's validity, once it has one.
    pub not_before: Option<Timestamp>,
    /// The end of the CA certificate's validity: no certificate that it issues may end later.
    pub not_after: Option<Timestamp>,
}

/// A CA's kind in the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityKind {
    /// A root: it signed its own certificate.
    Root,
    /// A subordinate: another CA signed its certificate.
    Subordinate,
    /// Another kind, by the service's name.
    Unrecognised(String),
}

/// The state of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityStatus {
    /// It is being created.
    Creating,
    /// It waits for its own certificate.
    PendingCertificate,
    /// It is active and issues certificates.
    Active,
    /// It is deleted, and can be restored for some days.
    Deleted,
    /// An operator disabled it.
    Disabled,
    /// Its own validity has ended.
    Expired,
    /// Its creation failed.
    Failed,
    /// Another state, by the service's name.
    Unrecognised(String),
}

/// The permitted validity of a CA's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityUsage {
    /// Up to the validity of the CA.
    GeneralPurpose,
    /// At most seven days.
    ShortLived,
    /// Another usage mode, by the service's name.
    Unrecognised(String),
}

/// An order for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The issuing CA.
    pub authority: AuthorityArn,
    /// The certificate signing request, in PEM form.
    pub request: String,
    /// The usage of the certificate.
    pub template: Template,
    /// The signature algorithm; it must suit the CA's key.
    pub signing: SigningAlgorithm,
    /// The end of the validity, to the second. The validity begins an hour before the issuance, to allow
    /// for clock skew.
    pub not_after: Timestamp,
    /// The idempotency token, valid for five minutes.
    pub token: IdempotencyToken,
}

/// The usage of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Servers and clients, for both ends of mutual TLS.
    EndEntity,
    /// Servers only.
    EndEntityServerAuth,
    /// Clients only.
    EndEntityClientAuth,
}

impl Template {
    /// The template name of the private CA service.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EndEntity => "EndEntityCertificate/V1",
            Self::EndEntityServerAuth => "EndEntityServerAuthCertificate/V1",
            Self::EndEntityClientAuth => "EndEntityClientAuthCertificate/V1",
        }
    }
}

/// A CA's signature algorithm.
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
    /// The algorithm for a CA's key; `None` for an unknown key type.
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

/// The state of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuance {
    /// Not issued yet; poll again after some seconds.
    InProgress,
    /// Never to be issued.
    Failed {
        /// The CA's reason.
        reason: String,
    },
    /// The certificate was issued, with its chain.
    Issued(Chain),
}
