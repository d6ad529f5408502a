//! The results of earlier requests to STS: confirmed identities, refused identities, and known credentials.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

use super::role::Session;
use crate::auth::Denial;

/// The most entries of each kind. A function uses a new identity every few minutes.
const MAX_ENTRIES: usize = 10_000;

/// How long an identity is refused after STS refused it.
const REFUSAL_LIFETIME: SignedDuration = SignedDuration::from_secs(60);

/// How long credentials count as known after STS confirmed them.
const KNOWN_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// The results, each until its expiry.
#[derive(Debug, Default)]
pub(super) struct StsCache {
    sessions: Bounded<[u8; 32], Session>,
    refused: Bounded<[u8; 32], Denial>,
    credentials: Bounded<String, ()>,
}

impl StsCache {
    pub(super) fn session(&self, identity: &[u8; 32], now: Timestamp) -> Option<&Session> {
        self.sessions.get(identity, now)
    }

    pub(super) fn refusal(&self, identity: &[u8; 32], now: Timestamp) -> Option<Denial> {
        self.refused.get(identity, now).copied()
    }

    /// Whether STS confirmed an identity of these credentials, given by access key id, within the last hour.
    pub(super) fn knows(&self, credentials: &str, now: Timestamp) -> bool {
        self.credentials.get(credentials, now).is_some()
    }

    /// Records that STS confirmed an identity.
    pub(super) fn vouched(&mut self, credentials: &str, now: Timestamp) {
        self.credentials.put(credentials.to_owned(), (), now.saturating_add(KNOWN_LIFETIME).unwrap_or(now));
    }

    pub(super) fn keep(&mut self, identity: [u8; 32], session: Session, until: Timestamp) {
        self.sessions.put(identity, session, until);
    }

    /// Records that STS refused an identity, or that its role is not allowed.
    pub(super) fn refuse(&mut self, identity: [u8; 32], credentials: &str, why: Denial, now: Timestamp) {
        self.refused.put(identity, why, now.saturating_add(REFUSAL_LIFETIME).unwrap_or(now));
        // Forged identities with known credentials must not use the lane of known callers.
        self.credentials.remove(credentials);
    }
}

/// A map that drops its oldest entry for a new one when it is full.
#[derive(Debug)]
struct Bounded<K, V> {
    entries: HashMap<K, (V, Timestamp)>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    fn get<Q>(&self, key: &Q, now: Timestamp) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.get(key).filter(|(_, until)| now < *until).map(|(value, _)| value)
    }

    fn put(&mut self, key: K, value: V, until: Timestamp) {
        if self.entries.insert(key.clone(), (value, until)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MAX_ENTRIES {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }

    fn remove<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        // Its key stays in `order` until it is the oldest.
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn refusals_expire_after_a_minute_and_are_bounded() {
        let mut memory = StsCache::default();
        let identity = |n: usize| {
            let mut identity = [0; 32];
            identity[..8].copy_from_slice(&n.to_be_bytes());
            identity
        };
        memory.vouched("ASIA1", at(0));
        assert!(memory.knows("ASIA1", at(10)) && !memory.knows("ASIA1", at(3601)));
        memory.refuse(identity(0), "ASIA1", Denial::Unvouched, at(0));
        assert_eq!(memory.refusal(&identity(0), at(59)), Some(Denial::Unvouched));
        assert_eq!(memory.refusal(&identity(0), at(60)), None);
        assert!(!memory.knows("ASIA1", at(10)), "its callers use the lane of unknown callers");
        for n in 1..=MAX_ENTRIES {
            memory.refuse(identity(n), "", Denial::Role, at(0));
        }
        assert_eq!(memory.refusal(&identity(0), at(1)), None, "the oldest entry was dropped");
        assert_eq!(memory.refused.entries.len(), MAX_ENTRIES);
        for n in 0..2 * MAX_ENTRIES {
            memory.vouched(&n.to_string(), at(0));
            memory.refuse(identity(n), &n.to_string(), Denial::Role, at(0));
        }
        assert!(memory.credentials.order.len() <= MAX_ENTRIES);
    }
}
