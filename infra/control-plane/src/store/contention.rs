//! Fairness between replicas that append to one log.
//!
//! Without a rule, a replica that has just appended knows the head first and wins again: one of three writers appended 1
//! entry while another appended 1,201. So a replica that appended several entries in a short time pauses, and leaves the
//! next positions to the others.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time in which own entries are counted.
const WINDOW: Duration = Duration::from_millis(500);

/// The same in durations of an append, where these are long: at a slow store, no replica appends four times in half a
/// second, and one could win for ever.
const WINDOW_APPENDS: u32 = 6;

/// The entries in that time after which a replica pauses.
const ENTRIES: usize = 4;

/// The most writers that the pause considers. More replicas should not write.
const MAX_WRITERS: u32 = 5;

/// How much a new duration counts in the mean of durations.
const WEIGHT: u32 = 8;

/// The recent appends of this replica.
#[derive(Debug, Default)]
pub(super) struct Contention {
    own: VecDeque<Instant>,
    mean: Option<Duration>,
}

impl Contention {
    /// Counts an append that succeeded, and how long it took.
    pub(super) fn appended(&mut self, now: Instant, took: Duration) {
        self.mean = Some(match self.mean {
            None => took,
            Some(mean) => (mean * (WEIGHT - 1) + took) / WEIGHT,
        });
        self.own.push_back(now);
        let window = self.mean.unwrap_or_default().saturating_mul(WINDOW_APPENDS).max(WINDOW);
        while self.own.front().is_some_and(|first| now.duration_since(*first) > window) {
            self.own.pop_front();
        }
    }

    /// The mean duration of an append.
    pub(super) const fn mean(&self) -> Option<Duration> {
        self.mean
    }

    /// The pause before the next entry. `writers` counts the replicas that write, this one included; `slowest` is the
    /// longest mean duration among the others, and `draw` a random number from 0 to 999.
    pub(super) fn pause(&self, writers: usize, slowest: Option<Duration>, draw: u32) -> Duration {
        if writers < 2 || self.own.len() < ENTRIES {
            return Duration::ZERO;
        }
        let duration = slowest.max(self.mean).unwrap_or_default();
        let writers = u32::try_from(writers).unwrap_or(MAX_WRITERS).min(MAX_WRITERS);
        duration.saturating_mul(2 * writers).saturating_mul(draw % 1000) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_pauses_after_its_fourth_entry_within_half_a_second() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut contention = Contention::default();
        for number in 0..3 {
            contention.appended(start + ms(number), ms(10));
            assert_eq!(contention.pause(3, None, 999), ms(0));
        }
        contention.appended(start + ms(400), ms(10));
        assert_eq!(contention.pause(3, None, 500), ms(30), "half of two durations for each of three writers");
        assert_eq!(contention.pause(3, Some(ms(20)), 500), ms(60), "the slowest writer sets the pause");
        assert_eq!(contention.pause(50, None, 500), ms(50), "at most five writers count");
        assert_eq!(contention.pause(1, None, 500), ms(0), "no other replica writes");
        contention.appended(start + ms(700), ms(10));
        assert_eq!(contention.pause(3, None, 999), ms(0), "two entries are left in the window");
    }

    #[test]
    fn replica_pauses_at_a_slow_store_as_well() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut contention = Contention::default();
        for number in 0..4 {
            assert_eq!(contention.pause(2, None, 999), ms(0));
            contention.appended(start + ms(number * 400), ms(400));
        }
        assert_eq!(contention.pause(2, None, 500), ms(800));
    }
}
