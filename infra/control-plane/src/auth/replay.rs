//! Writes that were received already.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::Denial;
use super::signature::SKEW;

/// How many writes are remembered at most: some tens of megabytes. They are remembered for ten minutes, so more than
/// 400 a second, all the time, are too many.
const MOST: usize = 250_000;

/// For how long after its first arrival the same signed write may come again. SDKs sign every attempt, by the second:
/// an attempt that follows within the same second has the same signature, and arrives at most about a second later.
/// Without this an SDK's quick retry would be refused; were it longer, so would be the time in which somebody who
/// listens can repeat a write.
const RETRY: SignedDuration = SignedDuration::from_secs(2);

/// The signatures of writes, each until it has expired anyway.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Signatures>);

#[derive(Debug, Default)]
struct Signatures {
    first: HashMap<[u8; 32], Timestamp>,
    order: VecDeque<[u8; 32]>,
}

impl Seen {
    /// Lets a signature pass for the first time, and again for as long as its client may be retrying.
    pub(super) fn pass(&self, signature: [u8; 32], now: Timestamp) -> Result<(), Denial> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now);
        if let Some(first) = seen.first.get(&signature) {
            return if now.duration_since(*first) <= RETRY { Ok(()) } else { Err(Denial::Replayed) };
        }
        if seen.order.len() >= MOST {
            return Err(Denial::Crowded);
        }
        seen.first.insert(signature, now);
        seen.order.push_back(signature);
        Ok(())
    }
}

impl Signatures {
    /// Drops what is too old by now, whenever within the tolerance it was signed.
    fn forget(&mut self, now: Timestamp) {
        while let Some(oldest) = self.order.front() {
            let expired = self.first.get(oldest).is_none_or(|first| now.duration_since(*first) > SKEW * 2);
            if !expired {
                return;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.first.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_retry_passes_and_a_replay_does_not_until_it_has_expired() {
        let seen = Seen::default();
        let (one, other) = ([1; 32], [2; 32]);
        for (signature, seconds, expected) in [
            (one, 0, Ok(())),
            (one, 1, Ok(())),
            (one, 2, Ok(())),
            (one, 3, Err(Denial::Replayed)),
            (other, 3, Ok(())),
            (one, 600, Err(Denial::Replayed)),
            (other, 601, Err(Denial::Replayed)),
        ] {
            assert_eq!(seen.pass(signature, at(seconds)), expected, "{signature:?} {seconds}");
        }
        assert_eq!(seen.pass(one, at(601)), Ok(()), "forgotten, since it would be refused as expired");
        assert_eq!(seen.0.lock().unwrap().order.len(), 2);
    }

    #[test]
    fn what_can_not_be_remembered_is_not_let_in() {
        let seen = Seen::default();
        let numbered = |n: usize| {
            let mut signature = [0; 32];
            signature[..8].copy_from_slice(&n.to_be_bytes());
            signature
        };
        for n in 0..MOST {
            seen.pass(numbered(n), at(0)).unwrap();
        }
        assert_eq!(seen.pass(numbered(MOST), at(600)), Err(Denial::Crowded));
        assert_eq!(seen.pass(numbered(7), at(2)), Ok(()), "a retry needs no room");
        assert_eq!(seen.pass(numbered(MOST), at(601)), Ok(()));
    }
}
