//! The reasons of decisions: data with a stable code, the same in the log line, the metric, the journal and the docs.

mod display;
mod entries;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use strum::IntoStaticStr;

use super::defect::ReplacementDefect;
use super::stage::Stage;
use super::subject::RotationSubject;
use super::trust_id::TrustId;
use crate::decision::HarmFact;
use mesh::certificates::{AuthorityArn, CertificateSource, Fingerprint};
use mesh::name::{MeshName, ResourcePath};

/// A proxy that has not acknowledged a version, or has an unknown state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The proxy.
    pub proxy: ResourcePath,
    /// Why its state is unknown; `None` if it has not acknowledged yet.
    pub unknown: Option<String>,
}

/// A fact about an unreadable mesh that the decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotKnown {
    /// Which of its proxies verify the certificate, and would have to trust another CA.
    WhoChecksIt,
    /// Whether any of its proxies still presents a leaf of the old CA.
    WhatIsPresented,
    /// Whether its proxies receive the new version; the mesh is known to use it.
    WhetherItArrives,
}

/// The reason why no step is taken now.
#[derive(Clone, Debug, PartialEq, Serialize, IntoStaticStr)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum RotationKeepReason {
    /// The certificate is valid, not due for renewal, and acknowledged by all proxies.
    Fresh {
        /// When its renewal is due.
        renew_at: Timestamp,
        /// The end of its validity.
        ends: Timestamp,
    },
    /// None of the trusted CAs is being replaced.
    Settled,
    /// Meshwarden does not manage it.
    NotOurs {
        /// Why Meshwarden does not manage it.
        why: String,
        /// The end of its validity, if known.
        ends: Option<Timestamp>,
    },
    /// Its issuance was requested and is in progress.
    BeingIssued,
    /// The mesh was read completely.
    Seen {
        /// The number of its certificates and secrets that other meshes may share.
        shareable: usize,
    },
    /// A mesh that uses it, or may use it, cannot be read.
    MeshUnread {
        /// The meshes, with the errors.
        meshes: BTreeMap<MeshName, String>,
        /// The missing fact.
        unknown: NotKnown,
    },
    /// It could not be read.
    Unread {
        /// The error.
        why: String,
    },
    /// Its record cannot be read; a decision without it could issue one certificate too many.
    RecordUnreadable {
        /// The error.
        why: String,
    },
    /// Its record has a newer format, which an older function must not interpret.
    RecordNewer {
        /// The version of the format.
        format: u64,
    },
    /// The CA that issues it is unknown; the policy can name it.
    IssuerUnknown {
        /// The issuer of the present certificate.
        issuer: String,
    },
    /// The CA does not issue certificates.
    AuthorityInactive {
        /// The CA.
        authority: AuthorityArn,
        /// The reason.
        why: String,
    },
    /// The CA's own validity ends so soon that a new certificate would hardly be valid longer than the present one.
    AuthorityEnds {
        /// The CA.
        authority: AuthorityArn,
        /// The end of its validity.
        at: Timestamp,
    },
    /// ACM has not renewed it, and waits for an operator.
    RenewalStuck {
        /// ACM's reason code.
        code: Option<String>,
        /// The meaning of the code, and the remedy.
        meaning: String,
    },
    /// The last attempt failed; the next one follows after a back-off.
    BackingOff {
        /// When the next attempt is made.
        until: Timestamp,
        /// The number of consecutive failures.
        failures: u32,
        /// The last error.
        why: String,
    },
    /// Repeated attempts have failed. The next one follows later; meanwhile an operator should find the cause.
    KeepsFailing {
        /// When the next attempt is made.
        until: Timestamp,
        /// The number of consecutive failures.
        failures: u32,
        /// The last error.
        why: String,
    },
    /// The issued certificate cannot be used. It is discarded, and the next attempt follows later, with a new key.
    PendingDiscarded {
        /// The version of the secret, or the ARN of the replacement.
        version: String,
        /// The defect.
        defect: ReplacementDefect,
        /// When the next attempt is made.
        until: Timestamp,
        /// The number of consecutive failures.
        failures: u32,
    },
    /// The pending certificate is not valid yet; it is promoted once it is.
    PendingNotYetValid {
        /// The beginning of its validity.
        from: Timestamp,
    },
    /// A replaced leaf is current again: an operator or another controller moved the current version back. The leaf is
    /// held, like a route after an edit.
    MovedBack {
        /// The certificate, as an argument for `meshwarden release certificate/NAME`.
        certificate: String,
        /// The leaf that was current in between.
        from: Fingerprint,
        /// When this was first observed.
        since: Timestamp,
        /// When the certificate is renewed nevertheless: near its end after the first roll-back, at its end after the
        /// second, never (`None`) after the third.
        resumes: Option<Timestamp>,
    },
    /// Some of its verifiers do not hold the root of the CA that is to issue it.
    AwaitingTrust {
        /// The CA.
        authority: AuthorityArn,
        /// The verifiers, each with its trust.
        missing: Vec<(ResourcePath, TrustId)>,
    },
    /// Some of its verifiers use a trust that Meshwarden does not manage, and are not known to hold the new root.
    TrustNotOurs {
        /// The CA.
        authority: AuthorityArn,
        /// The verifiers, each with its trust.
        trusts: Vec<(ResourcePath, TrustId)>,
    },
    /// A proxy still presents a leaf of the old CA, or may present one.
    OldStillPresented {
        /// The old CA.
        authority: AuthorityArn,
        /// The first of these leaves.
        leaves: Vec<CertificateSource>,
        /// The number of other leaves.
        more: usize,
    },
    /// The old CA stays trusted, as the policy requires.
    OldKept,
    /// The client policy already has the maximum of three CAs.
    TrustFull {
        /// These CAs.
        authorities: Vec<AuthorityArn>,
    },
    /// The canary of the stage changes first.
    AwaitingCanary {
        /// The stage.
        #[serde(flatten)]
        stage: Stage,
        /// The canary.
        canary: Box<RotationSubject>,
    },
    /// A neighbouring proxy is changing at the moment, or the same proxy is.
    NeighbourChanging {
        /// The changing proxies, each with its subject.
        changing: Vec<(ResourcePath, RotationSubject)>,
    },
    /// The pending version of the secret is not from Meshwarden, or differs from the order.
    PendingUnusable {
        /// The reason.
        why: String,
    },
    /// The secret for the same certificate holds a different one. Renewing in the secret would replace that
    /// certificate, and renewing only in ACM would leave proxies without the key.
    SecretDiffers {
        /// The secret.
        secret: String,
    },
    /// The trust or the certificate in the same secret is changing.
    SecretChanging,
    /// Secrets Manager's own rotation is enabled for the secret.
    RotatedByOthers,
    /// The change would cause harm.
    Harmful {
        /// The harms, by stable id and text.
        harms: Vec<HarmFact>,
    },
    /// The budget of issuances in this window is spent.
    BudgetSpent {
        /// The number of issuances in this window.
        used: u32,
        /// The number of issuances allowed per window.
        cap: u32,
    },
    /// An operator has set the kill switch.
    KillSwitchOn {
        /// The operator.
        by: String,
        /// The operator's reason.
        why: String,
    },
}

/// The reason for a step, or for waiting on acknowledgements.
#[derive(Clone, Debug, PartialEq, Serialize, IntoStaticStr)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Why {
    /// The certificate was revoked.
    Revoked {
        /// The leaf.
        fingerprint: Fingerprint,
    },
    /// Its validity has ended.
    Expired {
        /// The end.
        at: Timestamp,
    },
    /// Its renewal is due.
    RenewalDue {
        /// When it became due.
        since: Timestamp,
        /// The end of its validity.
        ends: Timestamp,
    },
    /// Its stored private key belongs to another certificate, so no proxy can present it.
    OtherKey {
        /// The leaf.
        fingerprint: Fingerprint,
    },
    /// It is not valid yet, so no proxy accepts it.
    NotYetValid {
        /// The beginning of its validity.
        from: Timestamp,
    },
    /// The CA that issued it is being replaced.
    Succession {
        /// The old CA.
        from: AuthorityArn,
        /// The new one.
        to: AuthorityArn,
    },
    /// A new leaf is ready.
    NewLeaf {
        /// The leaf that it replaces.
        replaces: Fingerprint,
    },
    /// The record holds an unfinished step.
    Unfinished,
    /// Some proxies have not acknowledged the current version yet.
    NotAcknowledged {
        /// These proxies.
        waiting: Vec<Waiting>,
    },
}

impl Why {
    /// The stable code: the name of the variant, which is also its stored tag.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

impl RotationKeepReason {
    /// The stable code: the name of the variant, which is also its stored tag.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }

    /// Whether a needed change is not made.
    #[must_use]
    pub const fn holds(&self) -> bool {
        match self {
            Self::Fresh { .. }
            | Self::Settled
            | Self::Seen { .. }
            | Self::NotOurs { .. }
            | Self::BeingIssued
            | Self::OldKept => false,
            Self::MeshUnread { .. }
            | Self::Unread { .. }
            | Self::RecordUnreadable { .. }
            | Self::RecordNewer { .. }
            | Self::IssuerUnknown { .. }
            | Self::AuthorityInactive { .. }
            | Self::AuthorityEnds { .. }
            | Self::RenewalStuck { .. }
            | Self::BackingOff { .. }
            | Self::KeepsFailing { .. }
            | Self::PendingDiscarded { .. }
            | Self::PendingNotYetValid { .. }
            | Self::MovedBack { .. }
            | Self::AwaitingTrust { .. }
            | Self::TrustNotOurs { .. }
            | Self::OldStillPresented { .. }
            | Self::TrustFull { .. }
            | Self::AwaitingCanary { .. }
            | Self::NeighbourChanging { .. }
            | Self::PendingUnusable { .. }
            | Self::SecretDiffers { .. }
            | Self::SecretChanging
            | Self::RotatedByOthers
            | Self::Harmful { .. }
            | Self::BudgetSpent { .. }
            | Self::KillSwitchOn { .. } => true,
        }
    }
}

/// The meaning of ACM's reason code for a renewal without progress, with the remedy.
#[must_use]
pub fn renewal_reason(code: &str) -> &'static str {
    match code {
        "CAA_ERROR" => "a CAA record of the domain forbids issuance by Amazon; add an issue entry for amazon.com",
        "PENDING_DOMAIN_VALIDATION" => {
            "the ownership of the domain is not proven; restore the CNAME records of the certificate, or \
             answer the validation mail"
        }
        "NO_AVAILABLE_CONTACTS" => "the domain has no contact address; validate it by DNS instead",
        "ADDITIONAL_VERIFICATION_REQUIRED" => {
            "AWS needs more information about the domain; open a case with AWS Support"
        }
        "DOMAIN_NOT_ALLOWED" => "the domain is on a list of unsafe domains; have it removed, then contact AWS Support",
        "INVALID_PUBLIC_DOMAIN" => "the top-level domain is not public; request a private certificate",
        "DOMAIN_VALIDATION_DENIED" => {
            "its owner refused the validation; contact the owner, then request the certificate again"
        }
        "PCA_LIMIT_EXCEEDED" => "the quota of the private CA is reached; have the quota raised",
        "PCA_INVALID_ARN" => "the private CA does not exist; name a successor for it in the policy",
        "PCA_INVALID_STATE" => "the private CA is not active; enable it, or name a successor for it in the policy",
        "PCA_REQUEST_FAILED" => "the private CA returned an invalid response; ACM retries",
        "PCA_NAME_CONSTRAINTS_VALIDATION" => "the private CA may not issue for these names; use another CA",
        "PCA_RESOURCE_NOT_FOUND" => "the private CA was not found; name a successor for it in the policy",
        "PCA_INVALID_ARGS" => "the private CA rejected the request; compare names and validity with the CA's own",
        "PCA_INVALID_DURATION" => "the certificate would outlive its private CA; renew the CA's own certificate",
        "PCA_ACCESS_DENIED" => {
            "ACM may not use the private CA; grant acm.amazonaws.com the permissions IssueCertificate, GetCertificate \
             and ListPermissions on it"
        }
        "SLR_NOT_FOUND" => {
            "the service-linked role of ACM does not exist; create AWSServiceRoleForCertificateManager in this account"
        }
        "OTHER" => "ACM gives no reason; describe the certificate, or open a case with AWS Support",
        _ => "this version does not know the reason; describe the certificate for details",
    }
}
