//! The defects of a certificate that was issued for a managed source, checked before it becomes current.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::certificate_template::CertificateTemplate;
use super::key_match::KeyMatch;
use mesh::certificates::{AuthorityArn, Certificate, KeyKind};

/// The reason why a certificate cannot replace the present one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "defect", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ReplacementDefect {
    /// It belongs to a different key than the one stored with it.
    OtherKey,
    /// No key is stored with it.
    NoKey,
    /// The key stored with it cannot be read.
    KeyUnreadable {
        /// The error.
        why: String,
    },
    /// Its names differ from the requested names.
    OtherNames {
        /// The requested names that are missing.
        missing: Vec<String>,
        /// The names that were not requested.
        extra: Vec<String>,
    },
    /// Its key has a different type, which ACM does not accept under the same ARN.
    OtherKeyKind {
        /// The key type.
        kind: KeyKind,
    },
    /// A different CA issued it than expected.
    OtherIssuer {
        /// The issuer.
        issuer: String,
        /// The expected CA, if known.
        wanted: Option<AuthorityArn>,
    },
    /// Some of its verifiers do not trust its CA, and no rollover in progress will change that in time.
    NotTrusted {
        /// The CA.
        authority: AuthorityArn,
    },
    /// Its validity has ended.
    Ended {
        /// The end.
        at: Timestamp,
    },
    /// Its validity ends hardly later than the present certificate's.
    EndsTooSoon {
        /// The end.
        at: Timestamp,
    },
    /// Its validity begins too late.
    NotYetValid {
        /// The beginning.
        from: Timestamp,
    },
    /// The roots stored with it differ from the current roots, which it would undo.
    OtherTrust,
    /// It was current before, and was moved away by an operator or another controller.
    MovedAway,
}

impl ReplacementDefect {
    /// Whether the defect results from time alone, so its issuer made no mistake.
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

impl fmt::Display for ReplacementDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKey => f.write_str("it belongs to a different key than the one stored with it"),
            Self::NoKey => f.write_str("it has no stored key"),
            Self::KeyUnreadable { why } => write!(f, "its stored key cannot be read: {why}"),
            Self::OtherNames { missing, extra } => {
                write!(f, "its names differ from the requested names")?;
                for (label, names) in [("missing", missing), ("not requested", extra)] {
                    if !names.is_empty() {
                        write!(f, "; {label}: {}", names.join(", "))?;
                    }
                }
                Ok(())
            }
            Self::OtherKeyKind { kind } => {
                write!(f, "its key has a different type ({kind}), which ACM does not accept under the same ARN")
            }
            Self::OtherIssuer { issuer, wanted: Some(wanted) } => {
                write!(f, "it was issued by {issuer} instead of {wanted}")
            }
            Self::OtherIssuer { issuer, wanted: None } => {
                write!(f, "it was issued by {issuer}, which is not its expected CA")
            }
            Self::NotTrusted { authority } => write!(f, "some of its verifiers do not trust {authority}"),
            Self::Ended { at } => write!(f, "it ended at {at:.0}"),
            Self::EndsTooSoon { at } => write!(f, "it ends too soon, at {at:.0}"),
            Self::NotYetValid { from } => write!(f, "it is not valid before {from:.0}"),
            Self::OtherTrust => f.write_str("the roots stored with it differ from the current roots"),
            Self::MovedAway => f.write_str("it was current before and was moved away"),
        }
    }
}

/// The defect of the key stored with a certificate.
#[must_use]
pub(super) fn key_defect(key: &KeyMatch) -> Option<ReplacementDefect> {
    match key {
        KeyMatch::NotCompared | KeyMatch::Same => None,
        KeyMatch::Other => Some(ReplacementDefect::OtherKey),
        KeyMatch::Missing => Some(ReplacementDefect::NoKey),
        KeyMatch::Unreadable { why } => Some(ReplacementDefect::KeyUnreadable { why: why.clone() }),
    }
}

/// The defect of a certificate's names. A certificate ordered by Meshwarden must have exactly the requested names; a
/// certificate that another owner stored may have more.
#[must_use]
pub(super) fn name_defect(
    like: &CertificateTemplate,
    leaf: &Certificate,
    ordered_here: bool,
) -> Option<ReplacementDefect> {
    let missing: Vec<String> = like.names.all().into_iter().filter(|name| !leaf.names.cover(name)).collect();
    let extra = leaf.names.all().into_iter().filter(|name| ordered_here && !like.names.cover(name));
    let extra: Vec<String> = extra.collect();
    (!missing.is_empty() || !extra.is_empty()).then_some(ReplacementDefect::OtherNames { missing, extra })
}

/// The defect of a certificate that a CA has just issued and that is imported at once, without being pending first.
#[must_use]
pub fn issued_defect(
    like: &CertificateTemplate,
    authority: &Certificate,
    key: &KeyMatch,
    leaf: &Certificate,
    now: Timestamp,
) -> Option<ReplacementDefect> {
    let issuer = || ReplacementDefect::OtherIssuer { issuer: leaf.issuer.clone(), wanted: None };
    key_defect(key)
        .or_else(|| name_defect(like, leaf, true))
        .or_else(|| (leaf.key != like.key).then(|| ReplacementDefect::OtherKeyKind { kind: leaf.key.clone() }))
        .or_else(|| (!authority.issued(leaf)).then(issuer))
        .or_else(|| (leaf.not_after <= now).then_some(ReplacementDefect::Ended { at: leaf.not_after }))
        .or_else(|| (leaf.not_before > now).then_some(ReplacementDefect::NotYetValid { from: leaf.not_before }))
}
