//! A remembered answer.

use std::sync::Arc;

use uuid::Uuid;

use super::client_token::ClientToken;
use super::request::Action;
use super::resource::Resource;

/// The key of a remembered answer: the uid of the resource, and the token.
pub(super) type TokenKey = (Uuid, ClientToken);

/// A request with a client token, and its answer. The request is stored completely; it shares its spec with
/// the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    /// The caller's token.
    pub token: ClientToken,
    /// The requested change.
    pub action: Action,
    /// The required version.
    pub if_version: Option<u64>,
    /// The answer.
    pub answer: Arc<Resource>,
}

impl Remembered {
    pub(super) fn key(&self) -> TokenKey {
        (self.answer.uid, self.token.clone())
    }

    /// Its share of [`REMEMBERED_BYTES`].
    pub(super) fn bytes(&self) -> usize {
        self.answer.bytes()
    }
}
