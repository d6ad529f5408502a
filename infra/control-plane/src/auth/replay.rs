//! Signed writes that were received before, to refuse replays.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Denial;
use crate::connections::ConnectionMetrics;

/// The most writes in the memory: some tens of megabytes.
const MAX_WRITES: usize = 250_000;

/// The most writes of one owner: a steady 200 writes a second by a key with signatures that are valid for five minutes.
const MAX_WRITES_PER_OWNER: usize = MAX_WRITES / 4;

/// The room that every owner has even while other owners fill the memory.
const GUARANTEED: usize = 1000;

/// How long after its first arrival the same signed write is accepted again. SDKs sign every attempt with a time in
/// seconds: a second attempt within the same second has the same signature, and arrives about a second later at most.
/// A shorter time would refuse an SDK's quick retries. A longer one would extend the time in which an eavesdropper
/// can replay a write.
const RETRY: Duration = Duration::from_secs(2);

/// The signatures of writes, each until it expires, with their owners: the writes of one key do not take the room
/// of another.
#[derive(Debug)]
pub(crate) struct ReplayMemory {
    signatures: Mutex<SignatureTable>,
    metrics: ConnectionMetrics,
}

/// A signed write.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedWrite<'a> {
    pub(super) signature: [u8; 32],
    /// The end of the signature's validity.
    pub(super) until: Timestamp,
    /// The key, or the role.
    pub(super) owner: &'a str,
}

#[derive(Debug, Default)]
struct SignatureTable {
    known: HashMap<[u8; 32], KnownWrite>,
    order: BTreeSet<(Timestamp, [u8; 32])>,
    owners: HashMap<Arc<str>, usize>,
    /// The latest end of validity among the removed signatures. A signature that ends no later may have been removed,
    /// and is seen again only if the clock was set back.
    forgotten: Option<Timestamp>,
}

#[derive(Debug)]
struct KnownWrite {
    owner: Arc<str>,
    /// The first arrival by the system clock and by the monotonic clock.
    first: (Timestamp, Instant),
}

impl ReplayMemory {
    pub(super) fn new(metrics: ConnectionMetrics) -> Self {
        Self { signatures: Mutex::default(), metrics }
    }

    /// Accepts a signature the first time, and again while its client may be retrying.
    pub(super) fn pass(&self, write: &SignedWrite<'_>, now: Timestamp) -> Result<(), Denial> {
        self.pass_at(write, (now, Instant::now()))
    }

    fn pass_at(&self, write: &SignedWrite<'_>, now: (Timestamp, Instant)) -> Result<(), Denial> {
        let mut signatures = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        signatures.forget(now.0);
        let passed = signatures.pass(write, now);
        self.metrics.replay_entries(signatures.known.len());
        passed
    }
}

impl SignatureTable {
    fn pass(&mut self, write: &SignedWrite<'_>, now: (Timestamp, Instant)) -> Result<(), Denial> {
        if let Some(entry) = self.known.get(&write.signature) {
            let by_clock = now.0.duration_since(entry.first.0).unsigned_abs();
            let elapsed = now.1.duration_since(entry.first.1);
            return if by_clock <= RETRY && elapsed <= RETRY { Ok(()) } else { Err(Denial::Replayed) };
        }
        if self.forgotten.is_some_and(|forgotten| write.until <= forgotten) {
            return Err(Denial::Expired);
        }
        let count = self.owners.get(write.owner).copied().unwrap_or(0);
        if count >= MAX_WRITES_PER_OWNER || (self.known.len() >= MAX_WRITES && count >= GUARANTEED) {
            return Err(Denial::Crowded);
        }
        let owner: Arc<str> = write.owner.into();
        *self.owners.entry(Arc::clone(&owner)).or_default() += 1;
        self.known.insert(write.signature, KnownWrite { owner, first: now });
        self.order.insert((write.until, write.signature));
        Ok(())
    }

    /// Removes expired signatures.
    fn forget(&mut self, now: Timestamp) {
        while let Some((until, signature)) = self.order.first().copied()
            && now.duration_since(until) > SignedDuration::ZERO
        {
            self.order.remove(&(until, signature));
            self.forgotten = self.forgotten.max(Some(until));
            let Some(entry) = self.known.remove(&signature) else { continue };
            let left = self.owners.get(&entry.owner).map_or(0, |count| count.saturating_sub(1));
            if left == 0 {
                self.owners.remove(&entry.owner);
            } else {
                self.owners.insert(entry.owner, left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn seen() -> ReplayMemory {
        ReplayMemory::new(Metrics::new().connections())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn write(number: usize, until: i64, owner: &str) -> SignedWrite<'_> {
        let mut signature = [0; 32];
        signature[..8].copy_from_slice(&number.to_be_bytes());
        SignedWrite { signature, until: at(until), owner }
    }

    #[test]
    fn a_retry_passes_and_a_replay_is_refused_until_the_signature_expires() {
        let seen = seen();
        let (one, other) = (write(1, 300, "k"), write(2, 303, "k"));
        for (number, (signed, seconds, expected)) in [
            (one, 0, Ok(())),
            (one, 1, Ok(())),
            (one, 2, Ok(())),
            (one, 3, Err(Denial::Replayed)),
            (other, 3, Ok(())),
            (one, 300, Err(Denial::Replayed)),
            (other, 301, Err(Denial::Replayed)),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(seen.pass(&signed, at(seconds)), expected, "step {number}");
        }
        assert_eq!(seen.signatures.lock().unwrap().known.len(), 1, "the expired signature is removed");
    }

    #[test]
    fn a_removed_write_is_refused_after_the_clock_was_set_back() {
        let seen = seen();
        seen.pass(&write(1, 300, "k"), at(0)).unwrap();
        seen.pass(&write(2, 900, "k"), at(600)).unwrap();
        assert_eq!(seen.pass(&write(1, 300, "k"), at(10)), Err(Denial::Expired));
        assert_eq!(seen.pass(&write(2, 900, "k"), at(10)), Err(Denial::Replayed), "remembered, and not a retry");
        assert_eq!(seen.pass(&write(3, 310, "k"), at(10)), Ok(()), "valid for longer than any removed signature");
    }

    #[test]
    fn the_writes_of_one_key_leave_room_for_every_other_key() {
        // The monotonic clock does not advance, so that a slow machine does not turn the retry into a replay.
        let (seen, start) = (seen(), Instant::now());
        let pass = |write: SignedWrite<'_>, seconds| seen.pass_at(&write, (at(seconds), start));
        for number in 0..MAX_WRITES_PER_OWNER {
            pass(write(number, 300, "loud"), 0).unwrap();
        }
        assert_eq!(pass(write(MAX_WRITES_PER_OWNER, 300, "loud"), 1), Err(Denial::Crowded));
        assert_eq!(pass(write(7, 300, "loud"), 1), Ok(()), "a retry needs no room");
        assert_eq!(pass(write(MAX_WRITES, 300, "quiet"), 1), Ok(()));
        assert_eq!(pass(write(MAX_WRITES_PER_OWNER, 700, "loud"), 301), Ok(()), "there is room again");
    }

    #[test]
    fn keys_that_fill_the_memory_together_leave_the_guaranteed_room() {
        let seen = seen();
        for number in 0..MAX_WRITES {
            let owner = ["a", "b", "c", "d"][number % 4];
            seen.pass(&write(number, 300, owner), at(0)).unwrap();
        }
        for number in 0..GUARANTEED {
            assert_eq!(seen.pass(&write(MAX_WRITES + number, 300, "quiet"), at(1)), Ok(()));
        }
        assert_eq!(seen.pass(&write(MAX_WRITES + GUARANTEED, 300, "quiet"), at(1)), Err(Denial::Crowded));
    }
}
