//! What is to be done, as data.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::decide::Subject;
use super::reason::Why;
use crate::certificates::{AuthorityArn, CertificateArn, Fingerprint, KeyKind, Names};
use crate::change::Change;
use crate::name::ResourcePath;

/// One step, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Stands for subject and step; the same plan made again has the same id.
    pub id: String,
    /// What it is about.
    pub subject: Subject,
    /// What to do.
    pub step: Step,
    /// Why.
    #[serde(flatten)]
    pub why: Why,
    /// The stage of a rollover that it is part of.
    pub stage: Option<Stage>,
}

/// Something small that is done once, and done again without harm.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Step {
    /// Has ACM renew a private certificate, on the same ARN.
    RenewInStore {
        /// Which.
        arn: CertificateArn,
        /// ACM renews only what was exported since it was issued.
        export_first: bool,
    },
    /// Requests a private certificate in place of another.
    RequestAnew {
        /// The other.
        arn: CertificateArn,
        /// Who is to issue it.
        authority: AuthorityArn,
        /// What it is to be like.
        like: Like,
        /// Makes a repetition the same request.
        token: String,
    },
    /// Makes a key, has a certificate issued for it, and imports both onto the ARN of an imported one.
    Reimport {
        /// Which.
        arn: CertificateArn,
        /// Who is to issue it.
        authority: AuthorityArn,
        /// What it is to be like.
        like: Like,
        /// The end of its validity.
        not_after: Timestamp,
        /// Makes a repetition the same order.
        token: String,
    },
    /// Stores a fresh key and a request for its certificate, pending.
    Prepare {
        /// The secret.
        secret: String,
        /// The version that it becomes.
        version: String,
        /// What the certificate is to be like.
        like: Like,
    },
    /// Orders the certificate for the key that is pending.
    Order {
        /// The secret.
        secret: String,
        /// The version with the key.
        version: String,
        /// Who is to issue it.
        authority: AuthorityArn,
        /// The end of its validity.
        not_after: Timestamp,
        /// Makes a repetition the same order.
        token: String,
    },
    /// Stores the certificate that was ordered beside its key, pending.
    Collect {
        /// The secret.
        secret: String,
        /// The version with the key.
        version: String,
        /// What the CA calls the certificate.
        issued: String,
        /// The version that both become.
        becomes: String,
        /// From when on a certificate that is still being issued is given up, and another one ordered.
        give_up_at: Timestamp,
    },
    /// Imports the key and the certificate that are pending onto the ARN of an imported one.
    ImportPending {
        /// Which.
        arn: CertificateArn,
        /// The secret.
        secret: String,
        /// The version.
        version: String,
    },
    /// Makes a pending version the one that is served; the one before it is kept.
    Promote {
        /// The secret.
        secret: String,
        /// The version that is served.
        from: Option<String>,
        /// The version that is to be.
        to: String,
    },
    /// Stores other trust beside the same certificate, and makes it the version that is served.
    PublishTrust {
        /// The secret.
        secret: String,
        /// The version that is served.
        from: Option<String>,
        /// The version that it becomes.
        version: String,
        /// The roots that are to be in it.
        roots: BTreeSet<Fingerprint>,
        /// The CAs by which roots can be had that are not in it yet.
        authorities: Vec<AuthorityArn>,
    },
    /// Changes the mesh.
    Apply {
        /// How.
        change: Change,
    },
    /// Writes on a certificate that another one has taken its place. Nothing is deleted: that is its owner's to do.
    MarkSuperseded {
        /// The one.
        arn: CertificateArn,
        /// The other.
        by: CertificateArn,
    },
}

/// What came of a step, as far as its subject's record is concerned: see [`Record::after`](super::Record::after).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// It was taken.
    Applied,
    /// A certificate was issued, or will be.
    Issued,
    /// A private CA accepted an order.
    Ordered {
        /// What it calls the certificate.
        order: String,
    },
    /// It had been taken before, and what it leads to is in place.
    AlreadyInPlace,
    /// The version of the secret existed before and is not the pending one, so the attempt can't be resumed.
    VersionTaken,
    /// The other side has not finished.
    InProgress,
    /// Another writer was first.
    Superseded,
    /// The mesh was written over a change that had not been seen.
    Overwrote {
        /// The resource's new version.
        version: u64,
    },
    /// The CA will never issue what was ordered, or has issued something else.
    Refused {
        /// Why.
        why: String,
    },
    /// A call failed.
    Failed {
        /// Which, and how.
        why: String,
        /// Whether it is certain that nothing was ordered.
        is_unplaced: bool,
    },
}

/// What a new certificate has from the one that it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Like {
    /// Its names.
    pub names: Names,
    /// The kind of its key.
    pub key: KeyKind,
}

/// A stage of the replacement of a CA.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// Whoever trusts the old root is made to trust the new one as well.
    TrustBoth {
        /// The old CA.
        from: AuthorityArn,
        /// The new one.
        to: AuthorityArn,
    },
    /// What the old CA issued is issued by the new one.
    Reissue {
        /// The old CA.
        from: AuthorityArn,
        /// The new one.
        to: AuthorityArn,
    },
    /// The old root is not trusted any more.
    DropOld {
        /// The old CA.
        from: AuthorityArn,
        /// The new one.
        to: AuthorityArn,
    },
}

/// What kind of step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Issue,
    Distribute,
    Retire,
}

/// A step with all that speaks for it, before neighbours and budget are asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Action {
    pub(super) kind: Kind,
    pub(super) step: Step,
    pub(super) why: Why,
    /// Set where it changes who is trusted, or has to be.
    pub(super) stage: Option<Stage>,
    /// The proxies that get something else by it.
    pub(super) moves: BTreeSet<ResourcePath>,
}

impl Step {
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

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrustBoth { .. } => f.write_str("trust both"),
            Self::Reissue { .. } => f.write_str("issue anew"),
            Self::DropOld { .. } => f.write_str("drop the old"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RenewInStore { arn, export_first: true } => write!(f, "export {arn}, so that ACM renews it"),
            Self::RenewInStore { arn, export_first: false } => write!(f, "have ACM renew {arn}"),
            Self::RequestAnew { arn, authority, .. } => write!(f, "request a certificate of {authority} for {arn}"),
            Self::Reimport { arn, authority, .. } => write!(f, "import one that {authority} issues onto {arn}"),
            Self::Prepare { secret, .. } => write!(f, "prepare a key in {secret}"),
            Self::Order { secret, authority, .. } => write!(f, "order the certificate for {secret} of {authority}"),
            Self::Collect { secret, .. } => write!(f, "collect the certificate for {secret}"),
            Self::ImportPending { arn, secret, .. } => write!(f, "import what is pending in {secret} onto {arn}"),
            Self::Promote { secret, .. } => write!(f, "serve what is pending in {secret}"),
            Self::PublishTrust { secret, roots, .. } => write!(f, "let {secret} trust {} roots", roots.len()),
            Self::Apply { change } => change.fmt(f),
            Self::MarkSuperseded { arn, by } => write!(f, "mark {arn} as superseded by {by}"),
        }
    }
}
