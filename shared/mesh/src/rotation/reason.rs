//! Why: every reason is data with a stable code, the same in the log line, the metric, the journal and the docs.

mod display;
mod entries;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::decide::Subject;
use super::defect::Defect;
use super::facts::TrustId;
use super::plan::Stage;
use crate::certificates::{AuthorityArn, Fingerprint, Source};
use crate::failover::HarmFact;
use crate::name::{MeshName, ResourcePath};

/// A proxy that is waited for, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Which.
    pub proxy: ResourcePath,
    /// Why; `None` where it simply hasn't acknowledged yet.
    pub unknown: Option<String>,
}

/// What would have to be known of a mesh that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotKnown {
    /// Who there would have to trust another CA, because the certificate is presented there.
    WhoChecksIt,
    /// Whether anything there still needs what is about to go.
    WhatIsPresented,
    /// Whether what is changed gets there: it is known to be used there.
    WhetherItArrives,
}

/// Why nothing is done, or not now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum KeepReason {
    /// It is in force, long enough, and everybody has it.
    Fresh {
        /// From when on it is to be renewed.
        renew_at: Timestamp,
        /// Its end.
        ends: Timestamp,
    },
    /// Nobody trusted by it is about to be replaced.
    Settled,
    /// Somebody else keeps it.
    NotOurs {
        /// Why it is theirs.
        why: String,
        /// Its end, where it is known.
        ends: Option<Timestamp>,
    },
    /// Its issuance has been asked for, and takes its time.
    BeingIssued,
    /// A mesh was read whole.
    Seen {
        /// Certificates and secrets there that other meshes may have, too.
        shareable: usize,
    },
    /// A mesh can't be read that has it, or may have it.
    MeshUnread {
        /// Which, and why not.
        meshes: BTreeMap<MeshName, String>,
        /// What is not known because of that.
        unknown: NotKnown,
    },
    /// It could not be read.
    Unread {
        /// Why not.
        why: String,
    },
    /// Its record can't be read; deciding without it could issue one certificate too many.
    RecordUnreadable {
        /// What is wrong with it.
        why: String,
    },
    /// Its record is of a newer format. An older function must not guess at it.
    RecordNewer {
        /// The version of the format.
        format: u64,
    },
    /// Nobody knows which CA is to issue it; the policy can name one.
    IssuerUnknown {
        /// Who issued the present one.
        issuer: String,
    },
    /// The CA that is to issue it issues nothing.
    AuthorityInactive {
        /// Which.
        authority: AuthorityArn,
        /// Why not.
        why: String,
    },
    /// The CA itself ends so soon that a new certificate would hardly live longer than the old one.
    AuthorityEnds {
        /// Which.
        authority: AuthorityArn,
        /// When.
        at: Timestamp,
    },
    /// ACM has not renewed it, and waits for a person.
    RenewalStuck {
        /// Why, as ACM calls it.
        code: Option<String>,
        /// What that means, and what to do.
        meaning: String,
    },
    /// It failed before, and is tried again later.
    BackingOff {
        /// Until when.
        until: Timestamp,
        /// Failures in a row.
        failures: u32,
        /// What went wrong last.
        why: String,
    },
    /// Attempts have failed again and again. The next one is made later, and meanwhile somebody should look at the cause.
    KeepsFailing {
        /// When the next attempt is made.
        until: Timestamp,
        /// Failures in a row.
        failures: u32,
        /// What went wrong last.
        why: String,
    },
    /// What the CA issued can't be used. It is given up, and another attempt is made later, with a fresh key.
    PendingDiscarded {
        /// The version of the secret, or the ARN of the replacement.
        version: String,
        /// What is wrong with it.
        defect: Defect,
        /// When the next attempt is made.
        until: Timestamp,
        /// Failures in a row.
        failures: u32,
    },
    /// The pending certificate is not valid yet; it is promoted once it is.
    PendingNotYetValid {
        /// From when on it is valid.
        from: Timestamp,
    },
    /// A leaf that had been replaced is current again: an operator or another controller moved the current version back.
    /// That is respected like an edit.
    MovedBack {
        /// The certificate, as `meshwarden release certificate/NAME` takes it.
        certificate: String,
        /// The leaf that was current before.
        from: Fingerprint,
        /// Since when that is known.
        since: Timestamp,
        /// From when on the certificate is renewed nevertheless, because it ends: near its end after the first time, at
        /// its end after the second, never after the third.
        resumes: Option<Timestamp>,
    },
    /// Somebody who checks it doesn't hold the root of the CA that is to issue it.
    AwaitingTrust {
        /// The CA.
        authority: AuthorityArn,
        /// Who, and by what.
        missing: Vec<(ResourcePath, TrustId)>,
    },
    /// Whoever checks it takes its trust from somewhere that is not ours, and it is not known to have the new root.
    TrustNotOurs {
        /// The CA.
        authority: AuthorityArn,
        /// Who, and by what.
        trusts: Vec<(ResourcePath, TrustId)>,
    },
    /// Somebody still presents something of the old CA, or may.
    OldStillPresented {
        /// The old CA.
        authority: AuthorityArn,
        /// What, the first of them.
        leaves: Vec<Source>,
        /// How many others.
        more: usize,
    },
    /// The old CA stays trusted: the policy says so.
    OldKept,
    /// A client policy takes three CAs, and has three.
    TrustFull {
        /// Which.
        authorities: Vec<AuthorityArn>,
    },
    /// Another one changes first, to see whether all goes well.
    AwaitingCanary {
        /// The stage.
        #[serde(flatten)]
        stage: Stage,
        /// The other.
        canary: Box<Subject>,
    },
    /// A proxy that it gets on with is just changing, or this one is.
    NeighbourChanging {
        /// Which, and what changes.
        changing: Vec<(ResourcePath, Subject)>,
    },
    /// What is pending in the secret is not ours, or not what was asked for.
    PendingUnusable {
        /// Why.
        why: String,
    },
    /// The secret that is to hold the same certificate holds another one. Renewing it there would put an end to that one,
    /// and renewing it elsewhere would leave proxies without its key.
    SecretDiffers {
        /// Which.
        secret: String,
    },
    /// The trust in the same secret is being changed, or its certificate.
    SecretChanging,
    /// Secrets Manager rotates the secret itself.
    RotatedByOthers,
    /// The change would break something.
    Harmful {
        /// What, by the stable ids of the harms and their texts.
        harms: Vec<HarmFact>,
    },
    /// The window's issuances are spent.
    BudgetSpent {
        /// Issuances in this window.
        used: u32,
        /// Issuances allowed.
        cap: u32,
    },
    /// Everything is switched off.
    KillSwitchOn {
        /// By whom.
        by: String,
        /// Why.
        why: String,
    },
}

/// Why something is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Why {
    /// It was withdrawn.
    Revoked {
        /// The leaf.
        fingerprint: Fingerprint,
    },
    /// It has ended.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It is time.
    RenewalDue {
        /// Since when.
        since: Timestamp,
        /// When it ends.
        ends: Timestamp,
    },
    /// The private key next to it belongs to another certificate, so no proxy can present it.
    OtherKey {
        /// The leaf.
        fingerprint: Fingerprint,
    },
    /// It is not valid yet, so no proxy accepts it.
    NotYetValid {
        /// From when on it is.
        from: Timestamp,
    },
    /// The CA that issued it is being replaced.
    Succession {
        /// The old CA.
        from: AuthorityArn,
        /// The new one.
        to: AuthorityArn,
    },
    /// A new leaf is there.
    NewLeaf {
        /// The leaf that it replaces.
        replaces: Fingerprint,
    },
    /// Its record says what is still to be seen of a step that was begun.
    Unfinished,
    /// Somebody has not acknowledged it yet.
    NotAcknowledged {
        /// Who.
        waiting: Vec<Waiting>,
    },
}

macro_rules! code {
    ($($reason:ident),*) => {$(
        impl $reason {
            /// The stable code.
            #[must_use]
            pub fn code(&self) -> String {
                let value = serde_json::to_value(self).unwrap_or_default();
                value.get("reason").and_then(|code| code.as_str()).unwrap_or("unprintable").to_owned()
            }
        }
    )*};
}
code!(KeepReason, Why);

impl KeepReason {
    /// Whether something that needs doing is not done.
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

/// What ACM means by the reason of a renewal that does not go on, and what a person can do about it.
#[must_use]
pub fn renewal_reason(code: &str) -> &'static str {
    match code {
        "CAA_ERROR" => "a CAA record of the domain forbids Amazon to issue; add an issue entry for amazon.com",
        "PENDING_DOMAIN_VALIDATION" => {
            "somebody has to prove that the domain is theirs; restore the CNAME records that the certificate shows, or \
             answer the mail"
        }
        "NO_AVAILABLE_CONTACTS" => "no mail address could be found for the domain; validate it by DNS instead",
        "ADDITIONAL_VERIFICATION_REQUIRED" => "AWS wants to know more about the domain; open a case with AWS Support",
        "DOMAIN_NOT_ALLOWED" => "the domain is on a list of unsafe ones; have it taken off, then ask AWS Support",
        "INVALID_PUBLIC_DOMAIN" => "the top-level domain is not a public one; request a private certificate",
        "DOMAIN_VALIDATION_DENIED" => "the owner of the domain refused; ask them, then request the certificate again",
        "PCA_LIMIT_EXCEEDED" => "the private CA has issued all that its quota allows; have the quota raised",
        "PCA_INVALID_ARN" => "the private CA is gone; name a successor for it in the policy",
        "PCA_INVALID_STATE" => "the private CA is not active; enable it, or name a successor for it in the policy",
        "PCA_REQUEST_FAILED" => "the private CA did not answer as it should; it is tried again",
        "PCA_NAME_CONSTRAINTS_VALIDATION" => "the private CA may not issue for these names; use another CA",
        "PCA_RESOURCE_NOT_FOUND" => "the private CA was not found; name a successor for it in the policy",
        "PCA_INVALID_ARGS" => "the private CA refused what was asked of it; compare names and validity with its own",
        "PCA_INVALID_DURATION" => "the certificate would outlive its private CA; renew the CA's own certificate",
        "PCA_ACCESS_DENIED" => {
            "ACM may not use the private CA; grant acm.amazonaws.com the permissions IssueCertificate, GetCertificate \
             and ListPermissions on it"
        }
        "SLR_NOT_FOUND" => {
            "the service-linked role of ACM is gone; create AWSServiceRoleForCertificateManager in this account"
        }
        "OTHER" => "ACM doesn't say why; describe the certificate, or open a case with AWS Support",
        _ => "this reason is not known here; describe the certificate to see more",
    }
}
