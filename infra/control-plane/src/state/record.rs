//! The stored form of the state: records that lead to it when they are applied in order.

use std::sync::Arc;

use mesh::name::ResourcePath;

use super::remembered::Remembered;
use super::resource::Resource;
use super::revocation::{Revocation, RevokedSubject};
use super::signature::{KnownSignature, SignatureHash};

/// One record. A later record on the same subject replaces an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The resource exists in exactly this version.
    Resource(Arc<Resource>),
    /// No resource exists at this path.
    Deleted(ResourcePath),
    /// The remembered answer to a request. The numbers increase.
    Remembered(u64, Arc<Remembered>),
    /// The answer of this number was forgotten.
    Forgotten(u64),
    /// The listener port of this key, or `None` if it has none any more.
    Port(String, Option<u16>),
    /// A signed write was accepted: it is not accepted again while its signature is valid.
    Signature(Arc<KnownSignature>),
    /// The signature has expired.
    SignatureExpired(SignatureHash),
    /// Node tokens were revoked.
    Revoked(Arc<Revocation>),
    /// Every token of the revocation has expired.
    RevocationEnded(RevokedSubject),
}

impl Record {
    /// Its approximate length in the store, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        /// Names, times and ids.
        const FRAME: usize = 300;
        let content = match self {
            Self::Resource(resource) => resource.bytes(),
            Self::Remembered(_, remembered) => remembered.bytes(),
            Self::Deleted(_)
            | Self::Forgotten(_)
            | Self::Port(..)
            | Self::Signature(_)
            | Self::SignatureExpired(_)
            | Self::Revoked(_)
            | Self::RevocationEnded(_) => 0,
        };
        content.saturating_add(FRAME)
    }
}
