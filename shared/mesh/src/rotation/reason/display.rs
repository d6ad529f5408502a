//! The text of each reason for people.

use std::fmt;

use super::{KeepReason, NotKnown, Why};
use crate::name::ResourcePath;
use crate::rotation::facts::TrustId;

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh { renew_at, ends } => write!(f, "in force until {ends}, to be renewed from {renew_at}"),
            Self::Settled => f.write_str("nobody trusted by it is being replaced"),
            Self::NotOurs { why, .. } => write!(f, "not ours: {why}"),
            Self::BeingIssued => f.write_str("its issuance takes its time"),
            Self::Seen { shareable } => write!(f, "read whole, with {shareable} certificates and secrets"),
            Self::MeshUnread { meshes, unknown } => {
                let meshes: Vec<String> = meshes.iter().map(|(name, why)| format!("mesh/{name} ({why})")).collect();
                write!(f, "not known is {unknown}, since it can't be read: {}", meshes.join(", "))
            }
            Self::Unread { why } => write!(f, "it could not be read: {why}"),
            Self::RecordUnreadable { why } => write!(f, "what is remembered of it can't be read: {why}"),
            Self::IssuerUnknown { issuer } => {
                write!(f, "{issuer} issued it, which is no private CA that is known; name one in the policy")
            }
            Self::AuthorityInactive { authority, why } => write!(f, "{authority} issues nothing: {why}"),
            Self::AuthorityEnds { authority, at } => {
                write!(f, "{authority} ends at {at:.0}, so a new certificate would hardly live longer")
            }
            Self::RenewalStuck { code, meaning } => {
                write!(f, "ACM waits for a person ({}): {meaning}", code.as_deref().unwrap_or("no reason given"))
            }
            Self::BackingOff { until, failures, why } => {
                write!(f, "failed {failures} times, is tried again at {until:.0}: {why}")
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
                write!(f, "{version} can't be used: {defect}; the next attempt is at {until:.0}")
            }
            Self::PendingNotYetValid { from } => write!(f, "the pending certificate is valid from {from:.0} on"),
            Self::MovedBack { certificate, since, resumes, .. } => {
                write!(f, "a replaced certificate was made current again (seen at {since:.0}); ")?;
                match resumes {
                    Some(at) => write!(f, "it is renewed from {at:.0} on, or after")?,
                    None => f.write_str("it is not renewed before")?,
                }
                write!(f, " `meshwarden release certificate/{certificate}`")
            }
            Self::AwaitingTrust { authority, missing } => {
                write!(f, "the root of {authority} is not yet held by {}", places(missing))
            }
            Self::TrustNotOurs { authority, trusts } => {
                write!(f, "the root of {authority} has to be added by others: {}", places(trusts))
            }
            Self::OldStillPresented { authority, leaves, more } => {
                let leaves: Vec<String> = leaves.iter().map(ToString::to_string).collect();
                write!(f, "{authority} may still be behind {}", leaves.join(", "))?;
                if *more > 0 { write!(f, " and {more} others") } else { Ok(()) }
            }
            Self::OldKept => f.write_str("the policy keeps the old CA trusted"),
            Self::TrustFull { authorities } => {
                write!(f, "{} CAs are trusted already, and App Mesh takes no more", authorities.len())
            }
            Self::AwaitingCanary { stage, canary } => write!(f, "{stage}: {canary} goes first"),
            Self::NeighbourChanging { changing } => {
                let changing: Vec<String> = changing.iter().map(|(proxy, what)| format!("{proxy} ({what})")).collect();
                write!(f, "still changing: {}", changing.join(", "))
            }
            Self::PendingUnusable { why } => write!(f, "what is pending can't be used: {why}"),
            Self::SecretDiffers { secret } => {
                write!(
                    f,
                    "{secret} holds another certificate; put the same one in it with its key, or name another secret"
                )
            }
            Self::SecretChanging => f.write_str("something else in the same secret is just changing"),
            Self::RotatedByOthers => {
                f.write_str("Secrets Manager rotates the secret itself; switch one of the two off")
            }
            Self::Harmful { harms } => {
                let texts: Vec<&str> = harms.iter().map(|harm| harm.text.as_str()).collect();
                f.write_str(&texts.join("; "))
            }
            Self::BudgetSpent { used, cap } => write!(f, "{used} of {cap} issuances of this window are spent"),
            Self::KillSwitchOn { by, why } => write!(f, "{by} has switched everything off: {why}"),
        }
    }
}

impl fmt::Display for NotKnown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhoChecksIt => "who would have to trust another CA",
            Self::WhatIsPresented => "whether anything of the old CA is still presented",
            Self::WhetherItArrives => "whether what is new arrives",
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
            Self::Revoked { .. } => f.write_str("it was withdrawn"),
            Self::Expired { at } => write!(f, "it ended at {at:.0}"),
            Self::RenewalDue { ends, .. } => write!(f, "it is time: it ends at {ends:.0}"),
            Self::OtherKey { .. } => f.write_str("the key next to it belongs to another certificate"),
            Self::NotYetValid { from } => write!(f, "it is valid from {from:.0} on only"),
            Self::Succession { from, to } => write!(f, "{to} replaces {from}"),
            Self::NewLeaf { .. } => f.write_str("a new certificate is there"),
            Self::Unfinished => f.write_str("a step was begun and not finished"),
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
