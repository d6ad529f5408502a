//! Client tokens: a repeated request gets the answer of the first one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::client_token::ClientToken;
use super::record::Record;
use super::remembered::{Remembered, TokenKey};
use super::request::Write;
use super::resource::Resource;

/// The most remembered answers. Clients repeat a request within seconds or minutes, which this covers even on a busy
/// server. Without a limit, every write would stay in memory.
const REMEMBERED: usize = 10_000;

/// The most request text of the remembered answers, in bytes: large specs count for more.
const REMEMBERED_BYTES: usize = 16 * 1024 * 1024;

/// The remembered answers; the oldest is forgotten first. They belong to a resource by its uid: a resource created
/// again under the same name has no tokens of the deleted one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tokens {
    answers: HashMap<TokenKey, Arc<Remembered>>,
    /// The numbers and keys of the answers, oldest first.
    order: VecDeque<(u64, TokenKey)>,
    /// The number of the next answer.
    next: u64,
    bytes: usize,
}

/// The result of looking up a token.
#[derive(Debug, PartialEq)]
pub(super) enum TokenUse {
    /// It was not used on this resource, or too long ago.
    New,
    /// It was used for the same request, with this answer.
    Same(Arc<Resource>),
    /// It was used for another request.
    Different,
}

impl Tokens {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// Looks up a write's token on the resource with this uid.
    pub(super) fn recall(&self, uid: Uuid, token: &ClientToken, write: &Write) -> TokenUse {
        match self.answers.get(&(uid, token.clone())) {
            None => TokenUse::New,
            Some(known) if known.action == write.action && known.if_version == write.if_version => {
                TokenUse::Same(Arc::clone(&known.answer))
            }
            Some(_) => TokenUse::Different,
        }
    }

    /// The records that remember an answer: the answer, and the oldest ones that are forgotten to make room.
    pub(super) fn remembering(&self, token: &ClientToken, write: &Write, answer: Arc<Resource>) -> Vec<Record> {
        let remembered =
            Remembered { token: token.clone(), action: write.action.clone(), if_version: write.if_version, answer };
        let mut count = self.order.len().saturating_add(1);
        let mut bytes = self.bytes.saturating_add(remembered.bytes());
        let mut records = vec![Record::Remembered(self.next, Arc::new(remembered))];
        for (number, key) in &self.order {
            if count <= REMEMBERED && bytes <= REMEMBERED_BYTES {
                break;
            }
            records.push(Record::Forgotten(*number));
            count = count.saturating_sub(1);
            bytes = bytes.saturating_sub(self.answers.get(key).map_or(0, |known| known.bytes()));
        }
        records
    }

    pub(super) fn remember(&mut self, number: u64, remembered: Arc<Remembered>) {
        let key = remembered.key();
        self.bytes = self.bytes.saturating_add(remembered.bytes());
        self.answers.insert(key.clone(), remembered);
        self.order.push_back((number, key));
        self.next = number.saturating_add(1);
    }

    /// The answer of this number.
    pub(super) fn numbered(&self, number: u64) -> Option<&Arc<Remembered>> {
        let at = self.order.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.order.get(at).and_then(|(_, key)| self.answers.get(key))
    }

    pub(super) fn forget(&mut self, number: u64) {
        let Ok(at) = self.order.binary_search_by_key(&number, |(number, _)| *number) else {
            return;
        };
        let forgotten = self.order.remove(at).and_then(|(_, key)| self.answers.remove(&key));
        self.bytes = self.bytes.saturating_sub(forgotten.map_or(0, |known| known.bytes()));
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        self.order.iter().filter_map(|(number, key)| {
            let known = self.answers.get(key)?;
            Some(Record::Remembered(*number, Arc::clone(known)))
        })
    }
}
