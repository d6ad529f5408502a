//! Revoked node tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use mesh::name::ResourcePath;

use super::record::Record;
use super::revocation::{Revocation, RevokedSubject};

/// The most revocations. They are forgotten when the last token that they concern has expired.
const MAX_REVOCATIONS: usize = 10_000;

/// How many revocations that have ended one revocation removes.
const REMOVED_AT_ONCE: usize = 8;

/// All revocations that are in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Revocations(BTreeMap<RevokedSubject, Arc<Revocation>>);

impl Revocations {
    /// Whether a token was revoked.
    pub(crate) fn include(&self, id: &str, proxy: &ResourcePath, issued: Timestamp) -> bool {
        self.0.contains_key(&RevokedSubject::Token(id.to_owned()))
            // Tokens have times in seconds: one that was issued in the second of the revocation is refused.
            || self.find(&RevokedSubject::Proxy(proxy.clone())).is_some_and(|revoked| issued <= revoked.at)
    }

    pub(super) fn find(&self, subject: &RevokedSubject) -> Option<&Arc<Revocation>> {
        self.0.get(subject)
    }

    /// The records that remember a revocation, and remove some that have ended. `None` if too many are in force.
    pub(super) fn remembering(&self, revocation: &Revocation) -> Option<Vec<Record>> {
        let ended = self.0.values().filter(|known| known.until < revocation.at).take(REMOVED_AT_ONCE);
        let mut records: Vec<Record> = ended.map(|known| Record::RevocationEnded(known.subject.clone())).collect();
        if records.is_empty() && self.0.len() >= MAX_REVOCATIONS {
            return None;
        }
        records.push(Record::Revoked(Arc::new(revocation.clone())));
        Some(records)
    }

    pub(super) fn insert(&mut self, revocation: Arc<Revocation>) {
        self.0.insert(revocation.subject.clone(), revocation);
    }

    pub(super) fn remove(&mut self, subject: &RevokedSubject) {
        self.0.remove(subject);
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        self.0.values().cloned().map(Record::Revoked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn revocation(subject: &str, seconds: i64) -> Revocation {
        Revocation { subject: RevokedSubject::parse(subject).unwrap(), at: at(seconds), until: at(seconds + 100) }
    }

    #[test]
    fn token_is_revoked_by_its_id_or_by_its_proxy_until_a_new_one_is_issued() {
        let (front, back) = ("mesh/shop/virtualNode/front", "mesh/shop/virtualNode/back");
        let path = |text: &str| ResourcePath::parse(text).unwrap();
        let mut revocations = Revocations::default();
        revocations.insert(Arc::new(revocation("token:a", 0)));
        revocations.insert(Arc::new(revocation(&format!("proxy:{front}"), 10)));
        for (id, proxy, issued, expected) in
            [("a", back, 20, true), ("b", back, 0, false), ("b", front, 10, true), ("b", front, 11, false)]
        {
            assert_eq!(revocations.include(id, &path(proxy), at(issued)), expected, "{id} {proxy} {issued}");
        }
        for text in ["", "a", "token:", "proxy:shop", "node:a"] {
            assert_eq!(RevokedSubject::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ended_revocations_are_removed_and_their_number_is_bounded() {
        let mut revocations = Revocations::default();
        for number in 0..MAX_REVOCATIONS {
            revocations.insert(Arc::new(revocation(&format!("token:{number}"), 0)));
        }
        assert_eq!(revocations.remembering(&revocation("token:more", 50)), None);
        let records = revocations.remembering(&revocation("token:more", 101)).unwrap();
        assert_eq!(records.len(), REMOVED_AT_ONCE + 1);
    }
}
