//! The limit on writes of one key or role.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The most owners with a known number of writes. Beyond it, the owners with a full burst are forgotten first, which changes
/// nothing for them.
const MAX_OWNERS: usize = 10_000;

/// The writes that one key or role may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteLimit {
    /// The steady rate, in writes a second. At least 1.
    pub per_second: u32,
    /// The writes that may be made at once after a pause. At least 1.
    pub burst: u32,
}

impl Default for WriteLimit {
    /// 50 writes a second, 200 at once.
    fn default() -> Self {
        Self { per_second: 50, burst: 200 }
    }
}

/// Counts events by owner, and refuses those beyond a limit.
#[derive(Debug)]
pub(super) struct RateLimiter {
    limit: WriteLimit,
    owners: HashMap<String, Bucket>,
}

/// The remaining events of one owner.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// The time at which the whole burst is available again.
    full_at: Instant,
}

impl RateLimiter {
    pub(super) fn new(limit: WriteLimit) -> Self {
        let limit = WriteLimit { per_second: limit.per_second.max(1), burst: limit.burst.max(1) };
        Self { limit, owners: HashMap::new() }
    }

    /// Counts an event, or returns how long its owner has to wait.
    pub(super) fn pass(&mut self, owner: &str, now: Instant) -> Result<(), Duration> {
        let one = Duration::from_secs(1) / self.limit.per_second;
        let all = one.saturating_mul(self.limit.burst);
        if self.owners.len() >= MAX_OWNERS && !self.owners.contains_key(owner) {
            self.owners.retain(|_, bucket| bucket.full_at > now);
            if self.owners.len() >= MAX_OWNERS {
                return Err(one);
            }
        }
        let bucket = self.owners.entry(owner.to_owned()).or_insert(Bucket { full_at: now });
        let full_at = bucket.full_at.max(now) + one;
        let used = full_at.duration_since(now);
        if used > all {
            return Err(used.saturating_sub(all));
        }
        bucket.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(limiter: &mut RateLimiter, owner: &str, events: usize, now: Instant) -> usize {
        (0..events).filter(|_| limiter.pass(owner, now).is_ok()).count()
    }

    #[test]
    fn owner_has_a_burst_and_a_rate_of_its_own() {
        let (mut limiter, start) = (RateLimiter::new(WriteLimit::default()), Instant::now());
        assert_eq!(passes(&mut limiter, "a", 300, start), 200);
        assert_eq!(passes(&mut limiter, "b", 300, start), 200, "another owner is not affected");
        assert_eq!(limiter.pass("a", start), Err(Duration::from_millis(20)));
        assert_eq!(passes(&mut limiter, "a", 300, start + Duration::from_secs(1)), 50);
        assert_eq!(
            passes(&mut limiter, "a", 300, start + Duration::from_mins(1)),
            200,
            "a pause restores the burst only"
        );
    }

    #[test]
    fn refused_events_do_not_delay_the_next_one() {
        let limit = WriteLimit { per_second: 1, burst: 1 };
        let (mut limiter, start) = (RateLimiter::new(limit), Instant::now());
        assert_eq!(limiter.pass("a", start), Ok(()));
        for _ in 0..10 {
            assert_eq!(limiter.pass("a", start), Err(Duration::from_secs(1)));
        }
        assert_eq!(limiter.pass("a", start + Duration::from_millis(400)), Err(Duration::from_millis(600)));
        assert_eq!(limiter.pass("a", start + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn number_of_owners_is_bounded() {
        let (mut limiter, start) = (RateLimiter::new(WriteLimit::default()), Instant::now());
        for number in 0..MAX_OWNERS {
            assert_eq!(limiter.pass(&number.to_string(), start), Ok(()));
        }
        assert!(limiter.pass("more", start).is_err());
        assert_eq!(limiter.pass("0", start), Ok(()), "known owners are still served");
        assert_eq!(limiter.pass("more", start + Duration::from_mins(1)), Ok(()));
        assert_eq!(limiter.owners.len(), 1);
    }
}
