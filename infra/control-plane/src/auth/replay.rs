//! Writes that were received already.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Denial;
use crate::metrics::ConnectionMetrics;

/// The most writes that are remembered: some tens of megabytes.
const MOST: usize = 250_000;

/// The most of them of one owner: 200 writes a second, all the time, by a key whose signatures are good for five minutes.
const MOST_OF_ONE: usize = MOST / 4;

/// What an owner has room for even while others fill the memory.
const GUARANTEED: usize = 1000;

/// For how long after its first arrival the same signed write may come again. SDKs sign every attempt, by the second:
/// an attempt that follows within the same second has the same signature, and arrives at most about a second later.
/// Without this an SDK's quick retry would be refused; were it longer, so would be the time in which somebody who
/// listens can repeat a write.
const RETRY: Duration = Duration::from_secs(2);

/// The signatures of writes, each until it has expired anyway; and whose they are, so that no key's writes keep another
/// key's out.
#[derive(Debug)]
pub(crate) struct Seen {
    signatures: Mutex<Signatures>,
    metrics: ConnectionMetrics,
}

/// A signed write.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedWrite<'a> {
    pub(super) signature: [u8; 32],
    /// Until when the signature is good.
    pub(super) until: Timestamp,
    /// The key, or the role.
    pub(super) owner: &'a str,
}

#[derive(Debug, Default)]
struct Signatures {
    known: HashMap<[u8; 32], Entry>,
    order: BTreeSet<(Timestamp, [u8; 32])>,
    owners: HashMap<Arc<str>, usize>,
    /// Until when the longest-lived signature was good that has been forgotten. One that is good until then or less may
    /// be among the forgotten, and comes up again only if the clock was set back.
    forgotten: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    owner: Arc<str>,
    /// By the clock and by a clock that is never set.
    first: (Timestamp, Instant),
}

impl Seen {
    pub(super) fn new(metrics: ConnectionMetrics) -> Self {
        Self { signatures: Mutex::default(), metrics }
    }

    /// Lets a signature pass for the first time, and again for as long as its client may be retrying.
    pub(super) fn pass(&self, write: &SignedWrite<'_>, now: Timestamp) -> Result<(), Denial> {
        let mut signatures = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        signatures.forget(now);
        let passed = signatures.pass(write, (now, Instant::now()));
        self.metrics.replay_entries(signatures.known.len());
        passed
    }
}

impl Signatures {
    fn pass(&mut self, write: &SignedWrite<'_>, now: (Timestamp, Instant)) -> Result<(), Denial> {
        if let Some(entry) = self.known.get(&write.signature) {
            let by_clock = now.0.duration_since(entry.first.0).unsigned_abs();
            let elapsed = now.1.duration_since(entry.first.1);
            return if by_clock <= RETRY && elapsed <= RETRY { Ok(()) } else { Err(Denial::Replayed) };
        }
        if self.forgotten.is_some_and(|forgotten| write.until <= forgotten) {
            return Err(Denial::Expired);
        }
        let held = self.owners.get(write.owner).copied().unwrap_or(0);
        if held >= MOST_OF_ONE || (self.known.len() >= MOST && held >= GUARANTEED) {
            return Err(Denial::Crowded);
        }
        let owner: Arc<str> = write.owner.into();
        *self.owners.entry(Arc::clone(&owner)).or_default() += 1;
        self.known.insert(write.signature, Entry { owner, first: now });
        self.order.insert((write.until, write.signature));
        Ok(())
    }

    /// Drops what has expired by now.
    fn forget(&mut self, now: Timestamp) {
        while let Some((until, signature)) = self.order.first().copied()
            && now.duration_since(until) > SignedDuration::ZERO
        {
            self.order.remove(&(until, signature));
            self.forgotten = self.forgotten.max(Some(until));
            let Some(entry) = self.known.remove(&signature) else { continue };
            let left = self.owners.get(&entry.owner).map_or(0, |held| held.saturating_sub(1));
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

    fn seen() -> Seen {
        Seen::new(Metrics::new().connections())
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
    fn a_retry_passes_and_a_replay_does_not_until_it_has_expired() {
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
        assert_eq!(seen.signatures.lock().unwrap().known.len(), 1, "the one that expired is forgotten");
    }

    #[test]
    fn a_forgotten_write_is_refused_after_the_clock_was_set_back() {
        let seen = seen();
        seen.pass(&write(1, 300, "k"), at(0)).unwrap();
        seen.pass(&write(2, 900, "k"), at(600)).unwrap();
        assert_eq!(seen.pass(&write(1, 300, "k"), at(10)), Err(Denial::Expired));
        assert_eq!(seen.pass(&write(2, 900, "k"), at(10)), Err(Denial::Replayed), "remembered, and not a retry");
        assert_eq!(seen.pass(&write(3, 310, "k"), at(10)), Ok(()), "signed after what was forgotten");
    }

    #[test]
    fn one_key_s_writes_leave_room_for_every_other_key() {
        let seen = seen();
        for number in 0..MOST_OF_ONE {
            seen.pass(&write(number, 300, "loud"), at(0)).unwrap();
        }
        assert_eq!(seen.pass(&write(MOST_OF_ONE, 300, "loud"), at(1)), Err(Denial::Crowded));
        assert_eq!(seen.pass(&write(7, 300, "loud"), at(1)), Ok(()), "a retry needs no room");
        assert_eq!(seen.pass(&write(MOST, 300, "quiet"), at(1)), Ok(()));
        assert_eq!(seen.pass(&write(MOST_OF_ONE, 700, "loud"), at(301)), Ok(()), "there is room again");
    }

    #[test]
    fn keys_that_fill_the_memory_together_leave_the_guaranteed_room() {
        let seen = seen();
        for number in 0..MOST {
            let owner = ["a", "b", "c", "d"][number % 4];
            seen.pass(&write(number, 300, owner), at(0)).unwrap();
        }
        for number in 0..GUARANTEED {
            assert_eq!(seen.pass(&write(MOST + number, 300, "quiet"), at(1)), Ok(()));
        }
        assert_eq!(seen.pass(&write(MOST + GUARANTEED, 300, "quiet"), at(1)), Err(Denial::Crowded));
    }
}
