//! The instances that disconnected from this replica a short time ago.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::facts::LeftInstance;

/// How long a disconnected instance is reported. A proxy that stays away longer is not waited for.
pub(super) const LINGER: Duration = Duration::from_mins(15);

/// How much the clocks of two replicas may differ before a returned instance counts as one that stays away.
pub(super) const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// Disconnected instances, latest last. Times of the clock are only reported; local durations decide.
#[derive(Debug)]
pub(crate) struct LeftInstances {
    linger: Duration,
    all: Mutex<Vec<(Instant, LeftInstance)>>,
}

impl Default for LeftInstances {
    fn default() -> Self {
        Self::with_linger(LINGER)
    }
}

impl LeftInstances {
    /// A list of the instances that left within this time.
    pub(super) fn with_linger(linger: Duration) -> Self {
        Self { linger, all: Mutex::default() }
    }

    /// Adds an instance. If its stream followed an earlier one of the same instance, one entry represents both.
    pub(crate) fn add(&self, left: LeftInstance, now: Instant) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(ended, _)| now.duration_since(*ended) < self.linger);
        let earlier = all.iter().rposition(|(_, other)| {
            other.id == left.id && other.instance == left.instance && is_followed_by(other, left.since)
        });
        let first = earlier.map_or(left.first, |at| all.remove(at).1.first);
        all.push((now, LeftInstance { first, ..left }));
    }

    /// The instances that left a short time ago.
    pub(crate) fn list(&self, now: Instant) -> Vec<LeftInstance> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(ended, _)| now.duration_since(*ended) < self.linger).map(|(_, left)| left.clone()).collect()
    }
}

/// Whether a stream that began at this time may be the next one of an instance that left: it began after the stream that
/// ended, and not before its end, as far as clocks are equal.
pub(super) fn is_followed_by(left: &LeftInstance, since: Timestamp) -> bool {
    since > left.since && since.saturating_add(CLOCK_TOLERANCE).is_ok_and(|since| since >= left.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(instance: &str, (first, since): (i64, i64), at: i64) -> LeftInstance {
        let time = |second| Timestamp::from_second(second).unwrap();
        LeftInstance {
            id: "mesh/m/virtualNode/n".to_owned(),
            instance: instance.to_owned(),
            first: time(first),
            since: time(since),
            at: time(at),
        }
    }

    #[test]
    fn one_entry_stands_for_the_streams_of_one_instance() {
        let (all, start) = (LeftInstances::default(), Instant::now());
        for stream in 0..100 {
            all.add(left("a", (stream * 10, stream * 10), stream * 10 + 9), start);
        }
        all.add(left("b", (0, 0), 999), start);
        // Open at the same time as the other one: another Envoy with the same bootstrap.
        all.add(left("b", (1, 1), 500), start);
        assert_eq!(all.list(start), [left("a", (0, 990), 999), left("b", (0, 0), 999), left("b", (1, 1), 500)]);
        assert_eq!(all.list(start + LINGER), []);
    }
}
