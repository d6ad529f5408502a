//! Client tokens: a request that is repeated gets the answer that it got the first time.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use mesh::validate::Violation;
use uuid::Uuid;

use super::record::Record;
use super::request::{Action, Write};
use super::resource::Resource;

/// How many answers are remembered. A client repeats a request within seconds or minutes, so that even a busy server
/// remembers for long enough; without a bound, every write ever made would stay in memory.
const REMEMBERED: usize = 10_000;

/// How much request text the remembered answers may stand for together: large specs count for more.
const REMEMBERED_BYTES: usize = 16 * 1024 * 1024;

/// The most characters of a token (API documentation of `clientToken`).
const MAX_LENGTH: usize = 36;

/// The caller's mark on a request: up to 36 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientToken(String);

impl ClientToken {
    /// Takes a well-formed token, refuses any other.
    pub fn parse(token: &str) -> Result<Self, Violation> {
        let fits = (1..=MAX_LENGTH).contains(&token.len())
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits {
            return Ok(Self(token.to_owned()));
        }
        let message = format!("must be 1 to {MAX_LENGTH} letters, digits, - and _, not {token:?}");
        Err(Violation::malformed("clientToken", message))
    }
}

impl fmt::Display for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answers that are remembered, the oldest forgotten first. They belong to a resource by its uid: one created anew
/// under the same name knows nothing of the tokens of the one before.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tokens {
    answers: HashMap<Key, Arc<Remembered>>,
    /// The oldest first, each with its number.
    order: VecDeque<(u64, Key)>,
    /// The number for the next one.
    next: u64,
    bytes: usize,
}

type Key = (Uuid, ClientToken);

/// A request with a client token, and its answer. The request is kept whole: its spec is the one that the answer holds
/// as well.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    /// The caller's mark.
    pub token: ClientToken,
    /// What was asked for.
    pub action: Action,
    /// On which condition.
    pub if_version: Option<u64>,
    /// What was answered.
    pub answer: Arc<Resource>,
}

impl Remembered {
    fn key(&self) -> Key {
        (self.answer.uid, self.token.clone())
    }

    /// What it weighs in the bound on all that is remembered.
    fn bytes(&self) -> usize {
        let tags = self.answer.tags.iter().map(|(key, value)| key.len().saturating_add(value.len()));
        tags.fold(self.answer.spec.bytes(), usize::saturating_add)
    }
}

/// What is known of a token.
#[derive(Debug, PartialEq)]
pub(super) enum Recall {
    /// Not used yet on this resource, or long ago.
    New,
    /// Used for the very same request, with this answer.
    Same(Arc<Resource>),
    /// Used for another request.
    Different,
}

impl Tokens {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// What is known of a write's token, on the resource with this uid.
    pub(super) fn recall(&self, uid: Uuid, token: &ClientToken, write: &Write) -> Recall {
        match self.answers.get(&(uid, token.clone())) {
            None => Recall::New,
            Some(known) if known.action == write.action && known.if_version == write.if_version => {
                Recall::Same(Arc::clone(&known.answer))
            }
            Some(_) => Recall::Different,
        }
    }

    /// What remembering an answer comes to: the answer, and the oldest ones that have to make room for it.
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
