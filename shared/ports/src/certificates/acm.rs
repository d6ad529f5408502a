use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{AuthorityArn, CertificateArn, Chain, IdempotencyToken, KeyAlgorithm, PrivateKey};
use crate::PortError;

/// Keeps the certificates that listeners name by ARN.
#[async_trait]
pub trait CertificateStore: Send + Sync + std::fmt::Debug {
    /// Every certificate of every key type, all pages.
    async fn list(&self) -> Result<Vec<CertificateListed>, PortError>;

    /// One certificate.
    async fn describe(&self, arn: &CertificateArn) -> Result<StoredCertificate, PortError>;

    /// The certificate with its chain; `None` while it is being issued.
    async fn chain(&self, arn: &CertificateArn) -> Result<Option<Chain>, PortError>;

    /// The certificate with its private key. Only what a private CA issued through ACM can be exported, and public
    /// certificates that were requested so; of others it is refused ([`Other`](crate::PortErrorKind::Other)). While the
    /// certificate is being issued or renewed it is a [`Conflict`](crate::PortErrorKind::Conflict).
    async fn export(&self, arn: &CertificateArn) -> Result<ExportedCertificate, PortError>;

    /// Starts the renewal, on the same ARN with a new key. Refused ([`Other`](crate::PortErrorKind::Other)) unless the
    /// certificate is [`Eligibility::Eligible`]; a [`Conflict`](crate::PortErrorKind::Conflict) while one is under way.
    async fn renew(&self, arn: &CertificateArn) -> Result<(), PortError>;

    /// Requests a private certificate, which is then issued in its own time. Asked twice with one token within an hour,
    /// it is one certificate.
    async fn request(&self, request: &PrivateRequest) -> Result<CertificateArn, PortError>;

    /// Imports a certificate: a new one, or anew onto the ARN of an imported one, which must keep key type and size and
    /// every key usage. Names may change.
    async fn import(&self, import: &Import) -> Result<CertificateArn, PortError>;

    /// Deletes a certificate; a [`Conflict`](crate::PortErrorKind::Conflict) while anything uses it.
    async fn delete(&self, arn: &CertificateArn) -> Result<(), PortError>;

    /// The certificate's tags.
    async fn tags(&self, arn: &CertificateArn) -> Result<BTreeMap<String, String>, PortError>;

    /// Adds or replaces these tags.
    async fn tag(&self, arn: &CertificateArn, tags: &BTreeMap<String, String>) -> Result<(), PortError>;
}

/// A certificate as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateListed {
    /// Its ARN.
    pub arn: CertificateArn,
    /// Where it comes from.
    pub kind: CertificateKind,
    /// Its state.
    pub status: CertificateStatus,
    /// The end of its validity, once issued.
    pub not_after: Option<Timestamp>,
    /// Whether it was ever exported; only a list tells. `None` where it is not said.
    pub exported: Option<bool>,
}

/// A certificate as its description shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Its ARN.
    pub arn: CertificateArn,
    /// Where it comes from.
    pub kind: CertificateKind,
    /// Its state.
    pub status: CertificateStatus,
    /// Why it could not be issued, as in `PCA_LIMIT_EXCEEDED`.
    pub failure: Option<String>,
    /// The subject's common name; empty where there is none.
    pub common_name: String,
    /// Every name that it is valid for.
    pub names: Vec<String>,
    /// Type and size of its key; `None` where it is not said.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// Its serial number, in hexadecimal pairs; `None` until it is issued. A renewal changes it.
    pub serial: Option<String>,
    /// The beginning of its validity, once issued.
    pub not_before: Option<Timestamp>,
    /// The end of its validity, once issued.
    pub not_after: Option<Timestamp>,
    /// The ARNs of the AWS resources that use it. App Mesh's listeners were among them; ours are not.
    pub in_use_by: Vec<String>,
    /// Whether [`CertificateStore::renew`] would be taken; `None` where it is not said.
    pub eligibility: Option<Eligibility>,
    /// The last renewal.
    pub renewal: Option<Renewal>,
    /// The private CA that issues it, for [`CertificateKind::Private`].
    pub authority: Option<AuthorityArn>,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// A public one, from Amazon.
    AmazonIssued,
    /// From a private CA through ACM: the only kind that can be renewed on demand.
    Private,
    /// Brought along, with a key that never comes out again.
    Imported,
    /// Another kind, as ACM calls it.
    Unrecognised(String),
}

/// The state of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// Being issued.
    PendingValidation,
    /// In force, as far as ACM is concerned.
    Issued,
    /// Not in force.
    Inactive,
    /// Past its validity.
    Expired,
    /// Never validated.
    ValidationTimedOut,
    /// Withdrawn.
    Revoked,
    /// Could not be issued.
    Failed,
    /// Another state, as ACM calls it.
    Unrecognised(String),
}

/// Whether ACM would renew a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// It was exported since it was issued or last renewed, or an AWS service uses it.
    Eligible,
    /// It was not, or it is of a kind that is never renewed.
    Ineligible,
}

/// A renewal by ACM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// How far it is.
    pub state: RenewalState,
    /// Why it is not further, as in `PCA_ACCESS_DENIED` or `CAA_ERROR`.
    pub reason: Option<String>,
    /// When that last changed.
    pub at: Timestamp,
}

/// How far a renewal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenewalState {
    /// ACM is at it.
    PendingAutoRenewal,
    /// Somebody has to prove that the names are theirs.
    PendingValidation,
    /// Done.
    Success,
    /// Given up.
    Failed,
    /// Another state, as ACM calls it.
    Unrecognised(String),
}

/// A certificate that left the store with its key.
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
    /// The private CA that is to issue it.
    pub authority: AuthorityArn,
    /// The subject's common name, the first of its names; at most 64 characters.
    pub common_name: String,
    /// Its other names.
    pub other_names: Vec<String>,
    /// Type and size of the key that ACM makes.
    pub key_algorithm: KeyAlgorithm,
    /// Makes a repetition within an hour the same request.
    pub token: IdempotencyToken,
    /// The tags that it gets.
    pub tags: BTreeMap<String, String>,
}

/// A certificate to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The ARN of the imported certificate that it replaces; unset, it becomes a new one.
    pub onto: Option<CertificateArn>,
    /// The certificate and its issuers.
    pub chain: Chain,
    /// Its key.
    pub key: PrivateKey,
    /// The tags that a new one gets; ACM takes none where one is replaced.
    pub tags: BTreeMap<String, String>,
}
