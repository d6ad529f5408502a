//! The text of each reason.

use std::fmt;

use super::{NotKnown, RotationKeepReason, Why};
use crate::rotation::trust_id::TrustId;
use mesh::name::ResourcePath;

impl fmt::Display for RotationKeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh { renew_at, ends } => write!(f, "valid until {ends}, renewal due from {renew_at}"),
            Self::Settled => f.write_str("none of its trusted CAs is being replaced"),
            Self::NotOurs { why, .. } => write!(f, "not managed by Meshwarden: {why}"),
            Self::BeingIssued => f.write_str("its issuance is in progress"),
            Self::Seen { shareable } => write!(f, "read completely, with {shareable} certificates and secrets"),
            Self::MeshUnread { meshes, unknown } => {
                let meshes: Vec<String> = meshes.iter().map(|(name, why)| format!("mesh/{name} ({why})")).collect();
                write!(f, "it is unknown {unknown}, since these meshes cannot be read: {}", meshes.join(", "))
            }
            Self::Unread { why } => write!(f, "it could not be read: {why}"),
            Self::RecordUnreadable { why } => write!(f, "its stored record cannot be read: {why}"),
            Self::IssuerUnknown { issuer } => {
                write!(f, "its issuer {issuer} is not a known private CA; name one in the policy")
            }
            Self::AuthorityInactive { authority, why } => write!(f, "{authority} does not issue certificates: {why}"),
            Self::AuthorityEnds { authority, at } => {
                write!(f, "{authority} is valid until {at:.0}, so a new certificate would hardly be valid longer")
            }
            Self::RenewalStuck { code, meaning } => {
                write!(f, "ACM waits for an operator ({}): {meaning}", code.as_deref().unwrap_or("no reason given"))
            }
            Self::BackingOff { until, failures, why } => {
                write!(f, "failed {failures} times, the next attempt is at {until:.0}: {why}")
            }
            Self::RecordNewer { format } => {
                write!(
                    f,
                    "a newer version of the function has stored its record (format {format}); deploy that version"
                )
            }
            Self::KeepsFailing { until, failures, why } => {
                write!(f, "failed {failures} times in a row, the next attempt is at {until:.0}: {why}")
            }
            Self::PendingDiscarded { version, defect, until, .. } => {
                write!(f, "{version} cannot be used: {defect}; the next attempt is at {until:.0}")
            }
            Self::PendingNotYetValid { from } => write!(f, "the pending certificate is valid from {from:.0} on"),
            Self::MovedBack { certificate, since, resumes, .. } => {
                write!(f, "a replaced certificate was made current again (observed at {since:.0}); ")?;
                match resumes {
                    Some(at) => write!(f, "it is renewed from {at:.0} on, or after")?,
                    None => f.write_str("it is not renewed before")?,
                }
                write!(f, " `meshwarden release certificate/{certificate}`")
            }
            Self::AwaitingTrust { authority, missing } => {
                write!(f, "{} does not hold the root of {authority} yet", places(missing))
            }
            Self::TrustNotOurs { authority, trusts } => {
                write!(f, "the root of {authority} must be added to unmanaged trust: {}", places(trusts))
            }
            Self::OldStillPresented { authority, leaves, more } => {
                let leaves: Vec<String> = leaves.iter().map(ToString::to_string).collect();
                write!(f, "leaves of {authority} may still be presented: {}", leaves.join(", "))?;
                if *more > 0 { write!(f, " and {more} others") } else { Ok(()) }
            }
            Self::OldKept => f.write_str("the policy keeps the old CA trusted"),
            Self::TrustFull { authorities } => {
                write!(f, "the client policy already has {} CAs, the maximum of App Mesh", authorities.len())
            }
            Self::AwaitingCanary { stage, canary } => write!(f, "{stage}: {canary} changes first"),
            Self::NeighbourChanging { changing } => {
                let changing: Vec<String> =
                    changing.iter().map(|(proxy, subject)| format!("{proxy} ({subject})")).collect();
                write!(f, "still changing: {}", changing.join(", "))
            }
            Self::PendingUnusable { why } => write!(f, "the pending version cannot be used: {why}"),
            Self::SecretDiffers { secret } => {
                write!(
                    f,
                    "{secret} holds a different certificate; store the same one with its key, or name another secret"
                )
            }
            Self::SecretChanging => f.write_str("the certificate or the trust in the same secret is changing"),
            Self::RotatedByOthers => {
                f.write_str("Secrets Manager's own rotation is enabled for the secret; disable one of the two")
            }
            Self::Harmful { harms } => {
                let texts: Vec<&str> = harms.iter().map(|harm| harm.text.as_str()).collect();
                f.write_str(&texts.join("; "))
            }
            Self::BudgetSpent { used, cap } => write!(f, "{used} of {cap} issuances of this window are spent"),
            Self::KillSwitchOn { by, why } => write!(f, "{by} has set the kill switch: {why}"),
        }
    }
}

impl fmt::Display for NotKnown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhoChecksIt => "which proxies would have to trust another CA",
            Self::WhatIsPresented => "whether a leaf of the old CA is still presented",
            Self::WhetherItArrives => "whether the new version reaches the proxies",
        })
    }
}

fn places(places: &[(ResourcePath, TrustId)]) -> String {
    let places: Vec<String> = places.iter().map(|(proxy, by)| format!("{proxy} ({by})")).collect();
    places.join(", ")
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked { .. } => f.write_str("it was revoked"),
            Self::Expired { at } => write!(f, "it ended at {at:.0}"),
            Self::RenewalDue { ends, .. } => write!(f, "its renewal is due: it ends at {ends:.0}"),
            Self::OtherKey { .. } => f.write_str("its stored key belongs to another certificate"),
            Self::NotYetValid { from } => write!(f, "it is not valid before {from:.0}"),
            Self::Succession { from, to } => write!(f, "{to} replaces {from}"),
            Self::NewLeaf { .. } => f.write_str("a new certificate is ready"),
            Self::Unfinished => f.write_str("a step is unfinished"),
            Self::NotAcknowledged { waiting } => {
                let waiting: Vec<String> = waiting
                    .iter()
                    .map(|one| match &one.unknown {
                        Some(why) => format!("{} ({why})", one.proxy),
                        None => one.proxy.to_string(),
                    })
                    .collect();
                write!(f, "not yet acknowledged by {}", waiting.join(", "))
            }
        }
    }
}
