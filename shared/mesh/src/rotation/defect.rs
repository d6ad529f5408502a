//! What is wrong with a certificate that was issued for one of ours: checked before it becomes current.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::KeyMatch;
use super::plan::Like;
use crate::certificates::{AuthorityArn, Certificate, KeyKind};

/// Why a certificate can't take the place of the present one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "defect", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Defect {
    /// It belongs to another key than the one that lies next to it.
    OtherKey,
    /// There is no key next to it.
    NoKey,
    /// The key next to it can't be read.
    KeyUnreadable {
        /// Why not.
        why: String,
    },
    /// It is not for the names that were requested.
    OtherNames {
        /// Names that are missing.
        missing: Vec<String>,
        /// Names that nobody requested.
        extra: Vec<String>,
    },
    /// Its key is of another kind, which ACM doesn't accept on the same ARN.
    OtherKeyKind {
        /// The kind.
        kind: KeyKind,
    },
    /// Another CA issued it than the one that was to.
    OtherIssuer {
        /// Who issued it.
        issuer: String,
        /// Who was to, where that is known.
        wanted: Option<AuthorityArn>,
    },
    /// Not everybody who checks it trusts its CA, and nothing is under way that would change that in time.
    NotTrusted {
        /// The CA.
        authority: AuthorityArn,
    },
    /// It has ended.
    Ended {
        /// When.
        at: Timestamp,
    },
    /// It ends so soon that it is hardly better than the present one.
    EndsTooSoon {
        /// When.
        at: Timestamp,
    },
    /// It begins too late.
    NotYetValid {
        /// When.
        from: Timestamp,
    },
    /// The roots that are stored with it are not those of the current version, which it would undo.
    OtherTrust,
    /// It was current before, and was moved away by an operator or another controller.
    MovedAway,
}

impl Defect {
    /// Whether time alone has made it useless, for whoever put it there.
    #[must_use]
    pub const fn is_of_time(&self) -> bool {
        match self {
            Self::Ended { .. } | Self::EndsTooSoon { .. } | Self::NotYetValid { .. } => true,
            Self::OtherKey
            | Self::NoKey
            | Self::KeyUnreadable { .. }
            | Self::OtherNames { .. }
            | Self::OtherKeyKind { .. }
            | Self::OtherIssuer { .. }
            | Self::NotTrusted { .. }
            | Self::OtherTrust
            | Self::MovedAway => false,
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKey => f.write_str("it belongs to another key than the one next to it"),
            Self::NoKey => f.write_str("there is no key next to it"),
            Self::KeyUnreadable { why } => write!(f, "the key next to it can't be read: {why}"),
            Self::OtherNames { missing, extra } => {
                write!(f, "it is not for the names that were requested")?;
                for (what, names) in [("missing", missing), ("not requested", extra)] {
                    if !names.is_empty() {
                        write!(f, "; {what}: {}", names.join(", "))?;
                    }
                }
                Ok(())
            }
            Self::OtherKeyKind { kind } => {
                write!(f, "its key is of another kind ({kind}), which ACM doesn't accept on the same ARN")
            }
            Self::OtherIssuer { issuer, wanted: Some(wanted) } => write!(f, "{issuer} issued it, and not {wanted}"),
            Self::OtherIssuer { issuer, wanted: None } => write!(f, "{issuer} issued it, which is not the CA for it"),
            Self::NotTrusted { authority } => write!(f, "not everybody who checks it trusts {authority}"),
            Self::Ended { at } => write!(f, "it ended at {at:.0}"),
            Self::EndsTooSoon { at } => write!(f, "it ends too soon, at {at:.0}"),
            Self::NotYetValid { from } => write!(f, "it is valid from {from:.0} on only"),
            Self::OtherTrust => f.write_str("the roots stored with it are not the current ones"),
            Self::MovedAway => f.write_str("it was current before and was moved away"),
        }
    }
}

/// What is wrong with the key next to a certificate.
#[must_use]
pub(super) fn key_defect(key: &KeyMatch) -> Option<Defect> {
    match key {
        KeyMatch::NotCompared | KeyMatch::Same => None,
        KeyMatch::Other => Some(Defect::OtherKey),
        KeyMatch::Missing => Some(Defect::NoKey),
        KeyMatch::Unreadable { why } => Some(Defect::KeyUnreadable { why: why.clone() }),
    }
}

/// What is wrong with the names of a certificate. One that was ordered here must be for exactly what was requested; in one
/// that somebody else has put there, more names are as they want it.
#[must_use]
pub(super) fn name_defect(like: &Like, leaf: &Certificate, ordered_here: bool) -> Option<Defect> {
    let missing: Vec<String> = like.names.all().into_iter().filter(|name| !leaf.names.cover(name)).collect();
    let extra = leaf.names.all().into_iter().filter(|name| ordered_here && !like.names.cover(name));
    let extra: Vec<String> = extra.collect();
    (!missing.is_empty() || !extra.is_empty()).then_some(Defect::OtherNames { missing, extra })
}

/// What is wrong with a certificate that a CA has just issued and that is imported at once, without ever being pending.
#[must_use]
pub fn issued_defect(
    like: &Like,
    authority: &Certificate,
    key: &KeyMatch,
    leaf: &Certificate,
    now: Timestamp,
) -> Option<Defect> {
    let issuer = || Defect::OtherIssuer { issuer: leaf.issuer.clone(), wanted: None };
    key_defect(key)
        .or_else(|| name_defect(like, leaf, true))
        .or_else(|| (leaf.key != like.key).then(|| Defect::OtherKeyKind { kind: leaf.key.clone() }))
        .or_else(|| (!authority.issued(leaf)).then(issuer))
        .or_else(|| (leaf.not_after <= now).then_some(Defect::Ended { at: leaf.not_after }))
        .or_else(|| (leaf.not_before > now).then_some(Defect::NotYetValid { from: leaf.not_before }))
}
