//! The signatures of accepted writes: the same signed write is not accepted again, by any replica.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::record::Record;
use super::signature::{KnownSignature, SignatureHash, WriteSignature};
use crate::denial::Denial;

/// The most signatures. They expire after minutes.
const MAX_SIGNATURES: usize = 100_000;

/// The most signatures of one key or role, so that the writes of one leave room for the others.
const MAX_SIGNATURES_PER_OWNER: usize = MAX_SIGNATURES / 4;

/// How long after its first use the same signature is accepted again: SDKs sign with a time in seconds, so a quick retry has
/// the same signature.
const RETRY: SignedDuration = SignedDuration::from_secs(2);

/// How many expired signatures one write removes.
const REMOVED_BY_WRITE: usize = 8;

/// The signatures of accepted writes, until they expire.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Signatures {
    known: HashMap<SignatureHash, Arc<KnownSignature>>,
    order: BTreeSet<(Timestamp, SignatureHash)>,
    owners: HashMap<String, usize>,
}

impl Signatures {
    /// Passes unless the signature was used before, or too many are known.
    pub(super) fn accept(&self, signature: &WriteSignature, now: Timestamp) -> Result<(), Denial> {
        if let Some(known) = self.known.get(&signature.hash) {
            return if now.duration_since(known.at).abs() <= RETRY { Ok(()) } else { Err(Denial::Replayed) };
        }
        let of_owner = self.owners.get(&signature.owner).copied().unwrap_or(0);
        if self.known.len() >= MAX_SIGNATURES || of_owner >= MAX_SIGNATURES_PER_OWNER {
            return Err(Denial::Crowded);
        }
        Ok(())
    }

    /// The records that remember a signature, and remove some that have expired.
    pub(super) fn remembering(&self, signature: &WriteSignature, now: Timestamp) -> Vec<Record> {
        let expired = self.order.iter().take_while(|(until, _)| *until < now).take(REMOVED_BY_WRITE);
        let mut records: Vec<Record> = expired.map(|(_, hash)| Record::SignatureExpired(*hash)).collect();
        if !self.known.contains_key(&signature.hash) {
            records.push(Record::Signature(Arc::new(KnownSignature { signature: signature.clone(), at: now })));
        }
        records
    }

    pub(super) fn find(&self, hash: &SignatureHash) -> Option<&Arc<KnownSignature>> {
        self.known.get(hash)
    }

    pub(super) fn insert(&mut self, known: Arc<KnownSignature>) {
        self.remove(&known.signature.hash);
        self.order.insert((known.signature.until, known.signature.hash));
        let count = self.owners.entry(known.signature.owner.clone()).or_default();
        *count = count.saturating_add(1);
        self.known.insert(known.signature.hash, known);
    }

    pub(super) fn remove(&mut self, hash: &SignatureHash) {
        let Some(known) = self.known.remove(hash) else { return };
        self.order.remove(&(known.signature.until, *hash));
        let left = self.owners.get(&known.signature.owner).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            self.owners.remove(&known.signature.owner);
        } else {
            self.owners.insert(known.signature.owner.clone(), left);
        }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let known = self.order.iter().filter_map(|(_, hash)| self.known.get(hash));
        known.map(|known| Record::Signature(Arc::clone(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn signature(number: u8, until: i64) -> WriteSignature {
        WriteSignature { hash: SignatureHash::new([number; 32]), until: at(until), owner: "key".to_owned() }
    }

    fn apply(signatures: &mut Signatures, records: &[Record]) {
        for record in records {
            match record {
                Record::Signature(known) => signatures.insert(Arc::clone(known)),
                Record::SignatureExpired(hash) => signatures.remove(hash),
                other => unreachable!("{other:?}"),
            }
        }
    }

    #[test]
    fn signature_is_accepted_once_and_for_a_quick_retry() {
        let mut signatures = Signatures::default();
        let one = signature(1, 300);
        assert_eq!(signatures.accept(&one, at(0)), Ok(()));
        let records = signatures.remembering(&one, at(0));
        apply(&mut signatures, &records);
        assert_eq!(signatures.accept(&one, at(2)), Ok(()));
        assert_eq!(signatures.accept(&one, at(3)), Err(Denial::Replayed));
        assert_eq!(signatures.accept(&one, at(-3)), Err(Denial::Replayed), "another replica's clock may be behind");
        assert_eq!(signatures.remembering(&one, at(1)), [], "a retry is not remembered again");
        let records = signatures.remembering(&signature(2, 700), at(301));
        assert_eq!(records.len(), 2, "the expired one is removed");
        apply(&mut signatures, &records);
        assert_eq!(signatures.known.len(), 1);
        assert_eq!(signatures.records().count(), 1);
        assert_eq!(signatures.owners.get("key"), Some(&1));
    }
}
