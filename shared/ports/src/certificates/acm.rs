use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{AuthorityArn, CertificateArn, Chain, IdempotencyToken, KeyAlgorithm, PrivateKey};
use crate::PortError;

/// The store of certificates that listeners name by ARN.
#[async_trait]
pub trait CertificateStore: Send + Sync + std::fmt::Debug {
    /// Every certificate of every key type, all pages.
    async fn list(&self) -> Result<Vec<CertificateListed>, PortError>;

    /// One certificate.
    async fn describe(&self, arn: &CertificateArn) -> Result<StoredCertificate, PortError>;

    /// The certificate with its chain; `None` while it is being issued.
    async fn chain(&self, arn: &CertificateArn) -> Result<Option<Chain>, PortError>;

    /// The certificate with its private key. Only certificates of a private CA issued through ACM, and public
    /// certificates requested for export, can be exported; others return [`Other`](crate::PortErrorKind::Other). While
    /// the certificate is being issued or renewed, it returns [`Conflict`](crate::PortErrorKind::Conflict).
    async fn export(&self, arn: &CertificateArn) -> Result<ExportedCertificate, PortError>;

    /// Starts the renewal, under the same ARN with a new key. Returns [`Other`](crate::PortErrorKind::Other) unless the
    /// certificate is [`Eligibility::Eligible`], and [`Conflict`](crate::PortErrorKind::Conflict) while a renewal
    /// is in progress.
    async fn renew(&self, arn: &CertificateArn) -> Result<(), PortError>;

    /// Requests a private certificate, which is issued asynchronously. Two requests with one token within an hour are
    /// one certificate.
    async fn request(&self, request: &PrivateRequest) -> Result<CertificateArn, PortError>;

    /// Imports a certificate: a new one, or under the ARN of an imported one with the same key type, key size and key
    /// usages. Names may differ.
    async fn import(&self, import: &Import) -> Result<CertificateArn, PortError>;

    /// Deletes a certificate; returns [`Conflict`](crate::PortErrorKind::Conflict) while it is in use.
    async fn delete(&self, arn: &CertificateArn) -> Result<(), PortError>;

    /// The tags of a certificate.
    async fn tags(&self, arn: &CertificateArn) -> Result<BTreeMap<String, String>, PortError>;

    /// Adds or replaces these tags.
    async fn tag(&self, arn: &CertificateArn, tags: &BTreeMap<String, String>) -> Result<(), PortError>;
}

/// A certificate in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateListed {
    /// Its ARN.
    pub arn: CertificateArn,
    /// Its kind.
    pub kind: CertificateKind,
    /// Its state.
    pub status: CertificateStatus,
    /// The end of its validity, once issued.
    pub not_after: Option<Timestamp>,
    /// Whether it was ever exported; only lists have this. `None` if it is unknown.
    pub exported: Option<bool>,
}

/// A certificate's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Its ARN.
    pub arn: CertificateArn,
    /// Its kind.
    pub kind: CertificateKind,
    /// Its state.
    pub status: CertificateStatus,
    /// Why it could not be issued, for example `PCA_LIMIT_EXCEEDED`.
    pub failure: Option<String>,
    /// The subject's common name; empty if there is none.
    pub common_name: String,
    /// All names of the certificate.
    pub names: Vec<String>,
    /// The algorithm and size of its key; `None` if unknown.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// Its serial number, in hexadecimal pairs; `None` until it is issued. A renewal changes it.
    pub serial: Option<String>,
    /// The beginning of its validity, once issued.
    pub not_before: Option<Timestamp>,
    /// The end of its validity, once issued.
    pub not_after: Option<Timestamp>,
    /// The ARNs of the AWS resources that use it. App Mesh's listeners were listed; listeners of the control
    /// plane are not.
    pub in_use_by: Vec<String>,
    /// Whether [`CertificateStore::renew`] would be accepted; `None` if unknown.
    pub eligibility: Option<Eligibility>,
    /// The last renewal.
    pub renewal: Option<Renewal>,
    /// The private CA that issues it, for [`CertificateKind::Private`].
    pub authority: Option<AuthorityArn>,
}

/// The kind of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// A public certificate from Amazon.
    AmazonIssued,
    /// A certificate of a private CA, issued through ACM; only this kind can be renewed on demand.
    Private,
    /// An imported certificate; its key can never be read.
    Imported,
    /// Another kind, by ACM's name.
    Unrecognised(String),
}

/// The state of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// It is being issued.
    PendingValidation,
    /// It is issued and valid.
    Issued,
    /// It is inactive.
    Inactive,
    /// Its validity has ended.
    Expired,
    /// Its validation timed out.
    ValidationTimedOut,
    /// It was revoked.
    Revoked,
    /// Its issuance failed.
    Failed,
    /// Another state, by ACM's name.
    Unrecognised(String),
}

/// Whether ACM would renew a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// It was exported since its issuance or last renewal, or an AWS service uses it.
    Eligible,
    /// It was not exported, or its kind is never renewed.
    Ineligible,
}

/// A renewal by ACM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The state of the renewal.
    pub state: RenewalState,
    /// The reason for the state, for example `PCA_ACCESS_DENIED` or `CAA_ERROR`.
    pub reason: Option<String>,
    /// When the state last changed.
    pub at: Timestamp,
}

/// The state of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenewalState {
    /// ACM is renewing the certificate.
    PendingAutoRenewal,
    /// The ownership of the names must be proven.
    PendingValidation,
    /// The renewal succeeded.
    Success,
    /// The renewal failed.
    Failed,
    /// Another state, by ACM's name.
    Unrecognised(String),
}

/// An exported certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedCertificate {
    /// The certificate and its issuers.
    pub chain: Chain,
    /// Its key.
    pub key: PrivateKey,
}

/// A request for a private certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateRequest {
    /// The private CA that issues it.
    pub authority: AuthorityArn,
    /// The subject's common name, the first of its names; at most 64 characters.
    pub common_name: String,
    /// Its other names.
    pub other_names: Vec<String>,
    /// The algorithm and size of the key, which ACM creates.
    pub key_algorithm: KeyAlgorithm,
    /// The idempotency token, valid for an hour.
    pub token: IdempotencyToken,
    /// The tags of the new certificate.
    pub tags: BTreeMap<String, String>,
}

/// A certificate to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The ARN of the imported certificate to replace; `None` for a new one.
    pub onto: Option<CertificateArn>,
    /// The certificate and its issuers.
    pub chain: Chain,
    /// Its key.
    pub key: PrivateKey,
    /// The tags of a new certificate; ACM accepts none for a replacement.
    pub tags: BTreeMap<String, String>,
}
