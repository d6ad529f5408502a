//! The steps of a rotation, as data.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::certificate_template::CertificateTemplate;
use super::reason::Why;
use super::stage::Stage;
use super::subject::RotationSubject;
use mesh::certificates::{AuthorityArn, CertificateArn, Fingerprint};
use mesh::change::Change;
use mesh::name::ResourcePath;

/// One step, with its reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationPlan {
    /// Identifies subject and step; the same plan computed again has the same id.
    pub id: String,
    /// The subject.
    pub subject: RotationSubject,
    /// The step.
    pub step: RotationStep,
    /// The reason for the step.
    #[serde(flatten)]
    pub why: Why,
    /// The stage of the rollover that it belongs to.
    pub stage: Option<Stage>,
}

/// A small idempotent change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum RotationStep {
    /// Requests ACM to renew a private certificate under the same ARN.
    RenewInStore {
        /// The certificate.
        arn: CertificateArn,
        /// Whether to export it first: ACM renews only certificates that were exported since their issuance.
        export_first: bool,
    },
    /// Requests a private certificate that replaces another.
    RequestAnew {
        /// The certificate to replace.
        arn: CertificateArn,
        /// The CA that issues it.
        authority: AuthorityArn,
        /// The names and the key type to request.
        like: CertificateTemplate,
        /// The idempotency token of the request.
        token: String,
    },
    /// Creates a key, has a certificate issued for it, and imports both under the ARN of an imported certificate.
    Reimport {
        /// The certificate.
        arn: CertificateArn,
        /// The CA that issues it.
        authority: AuthorityArn,
        /// The names and the key type to request.
        like: CertificateTemplate,
        /// The end of its validity.
        not_after: Timestamp,
        /// The idempotency token of the order.
        token: String,
    },
    /// Stores a new key and a certificate request as the pending version of a secret.
    Prepare {
        /// The secret.
        secret: String,
        /// The id of the new version.
        version: String,
        /// The names and the key type to request.
        like: CertificateTemplate,
    },
    /// Orders the certificate for the pending key.
    Order {
        /// The secret.
        secret: String,
        /// The version with the key.
        version: String,
        /// The CA that issues it.
        authority: AuthorityArn,
        /// The end of its validity.
        not_after: Timestamp,
        /// The idempotency token of the order.
        token: String,
    },
    /// Stores the ordered certificate together with its key as the pending version.
    Collect {
        /// The secret.
        secret: String,
        /// The version with the key.
        version: String,
        /// The CA's identifier of the certificate.
        issued: String,
        /// The id of the new version with both.
        becomes: String,
        /// When to give up on a certificate that is still being issued, and order another one.
        give_up_at: Timestamp,
    },
    /// Imports the pending key and certificate under the ARN of an imported certificate.
    ImportPending {
        /// The certificate.
        arn: CertificateArn,
        /// The secret.
        secret: String,
        /// The pending version.
        version: String,
    },
    /// Makes a pending version the current one; the previous version is kept.
    Promote {
        /// The secret.
        secret: String,
        /// The current version.
        from: Option<String>,
        /// The version to make current.
        to: String,
    },
    /// Stores different roots with the same certificate, and makes that version the current one.
    PublishTrust {
        /// The secret.
        secret: String,
        /// The current version.
        from: Option<String>,
        /// The id of the new version.
        version: String,
        /// The roots of the new version.
        roots: BTreeSet<Fingerprint>,
        /// The CAs to read the roots from that the current version lacks.
        authorities: Vec<AuthorityArn>,
    },
    /// Changes the mesh.
    Apply {
        /// The change.
        change: Change,
    },
    /// Tags a certificate as superseded by another. It is not deleted: deletion is up to its owner.
    MarkSuperseded {
        /// The superseded certificate.
        arn: CertificateArn,
        /// The certificate that replaces it.
        by: CertificateArn,
    },
}

/// The result of a step, for the record of its subject: see [`RotationRecord::after`](super::RotationRecord::after).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// The step was executed.
    Applied,
    /// A certificate was issued, or is being issued.
    Issued,
    /// A private CA accepted an order.
    Ordered {
        /// The CA's identifier of the certificate.
        order: String,
    },
    /// The step was executed before, and its effect is in place.
    AlreadyInPlace,
    /// A non-pending version of the secret with this id exists already, so the attempt cannot be resumed.
    VersionTaken,
    /// The other service has not finished.
    InProgress,
    /// Another writer changed the resource first.
    Superseded,
    /// The write replaced a change of the mesh that had not been observed.
    Overwrote {
        /// The resource's new version.
        version: u64,
    },
    /// The CA rejected the order permanently, or issued a different certificate.
    Refused {
        /// The reason.
        why: String,
    },
    /// A call failed.
    Failed {
        /// The call and its error.
        why: String,
        /// Whether it is certain that no order was placed.
        is_unplaced: bool,
    },
}

/// The kind of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlanKind {
    Issue,
    Distribute,
    Retire,
}

/// A step with its reasons, before neighbours and budget are checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Action {
    pub(super) kind: PlanKind,
    pub(super) step: RotationStep,
    pub(super) why: Why,
    /// The stage, if the step changes trust or requires changed trust.
    pub(super) stage: Option<Stage>,
    /// The proxies that receive a new version.
    pub(super) moves: BTreeSet<ResourcePath>,
}

impl RotationStep {
    /// Whether it has a certificate issued, which is billed and counts against the budget.
    #[must_use]
    pub const fn issues(&self) -> bool {
        match self {
            Self::RenewInStore { .. } | Self::RequestAnew { .. } | Self::Reimport { .. } | Self::Order { .. } => true,
            Self::Prepare { .. }
            | Self::Collect { .. }
            | Self::ImportPending { .. }
            | Self::Promote { .. }
            | Self::PublishTrust { .. }
            | Self::Apply { .. }
            | Self::MarkSuperseded { .. } => false,
        }
    }
}

impl fmt::Display for RotationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RenewInStore { arn, export_first: true } => write!(f, "export {arn}, so that ACM renews it"),
            Self::RenewInStore { arn, export_first: false } => write!(f, "have ACM renew {arn}"),
            Self::RequestAnew { arn, authority, .. } => write!(f, "request a certificate of {authority} for {arn}"),
            Self::Reimport { arn, authority, .. } => write!(f, "import a certificate of {authority} as {arn}"),
            Self::Prepare { secret, .. } => write!(f, "prepare a key in {secret}"),
            Self::Order { secret, authority, .. } => write!(f, "order the certificate for {secret} from {authority}"),
            Self::Collect { secret, .. } => write!(f, "collect the certificate for {secret}"),
            Self::ImportPending { arn, secret, .. } => write!(f, "import the pending version of {secret} as {arn}"),
            Self::Promote { secret, .. } => write!(f, "promote the pending version of {secret}"),
            Self::PublishTrust { secret, roots, .. } => write!(f, "publish {} roots in {secret}", roots.len()),
            Self::Apply { change } => change.fmt(f),
            Self::MarkSuperseded { arn, by } => write!(f, "mark {arn} as superseded by {by}"),
        }
    }
}
