//! The schedule of polls for certificates and instances, including retries.

use std::time::Duration;

/// The result of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollOutcome {
    /// The result is served and has no problem.
    Served,
    /// The source throttles. `true`: a last valid result is served.
    Throttled(bool),
    /// A later poll may succeed. `true`: a last valid result is served.
    Transient(bool),
    /// An operator has to act before a poll can succeed.
    Permanent,
}

/// The pause after the first failure if nothing is served yet.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest pause for a throttling source, in refresh intervals. Other callers of the account cause throttling too, and
/// a renewal has days of time.
const MAX_THROTTLED_INTERVALS: u32 = 10;

/// The pause until the next poll. `failures` counts the consecutive failures including this one. `draw` is a random number
/// that moves the pause by up to a tenth, so that polls that started together spread out.
pub(crate) fn pause(outcome: PollOutcome, failures: u32, refresh: Duration, draw: u64) -> Duration {
    let doubled = |first: Duration, most: Duration| {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
        first.saturating_mul(factor).min(most)
    };
    let pause = match outcome {
        PollOutcome::Served | PollOutcome::Permanent | PollOutcome::Transient(true) => refresh,
        PollOutcome::Throttled(true) => {
            doubled(refresh.saturating_mul(2), refresh.saturating_mul(MAX_THROTTLED_INTERVALS))
        }
        // A proxy waits for the first result, so the retries are fast.
        PollOutcome::Transient(false) => doubled(FIRST_RETRY.min(refresh), refresh),
        PollOutcome::Throttled(false) => doubled((FIRST_RETRY * 2).min(refresh), refresh),
    };
    let tenths = u32::try_from(draw % 201).unwrap_or_default();
    pause.saturating_mul(900 + tenths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn pauses_grow_with_failures_up_to_a_limit() {
        for (outcome, failures, seconds) in [
            (PollOutcome::Served, 0, 60),
            (PollOutcome::Permanent, 9, 60),
            (PollOutcome::Transient(true), 9, 60),
            (PollOutcome::Transient(false), 1, 1),
            (PollOutcome::Transient(false), 3, 4),
            (PollOutcome::Transient(false), 40, 60),
            (PollOutcome::Throttled(false), 1, 2),
            (PollOutcome::Throttled(false), 40, 60),
            (PollOutcome::Throttled(true), 1, 120),
            (PollOutcome::Throttled(true), 2, 240),
            (PollOutcome::Throttled(true), 40, 600),
        ] {
            assert_eq!(pause(outcome, failures, MINUTE, 100), Duration::from_secs(seconds), "{outcome:?} {failures}");
        }
    }

    #[test]
    fn a_draw_moves_a_pause_by_a_tenth() {
        assert_eq!(pause(PollOutcome::Served, 0, MINUTE, 0), Duration::from_secs(54));
        assert_eq!(pause(PollOutcome::Served, 0, MINUTE, 200), Duration::from_secs(66));
        assert_eq!(pause(PollOutcome::Served, 0, MINUTE, 201), Duration::from_secs(54));
    }

    #[test]
    fn retries_are_no_slower_than_a_short_interval() {
        let refresh = Duration::from_millis(100);
        assert!(pause(PollOutcome::Transient(false), 40, refresh, 200) < Duration::from_millis(120));
        assert!(pause(PollOutcome::Throttled(false), 1, refresh, 200) < Duration::from_millis(120));
    }
}
