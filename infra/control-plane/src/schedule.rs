//! When to ask somebody again who may not answer: for certificates, for instances.

use std::time::Duration;

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Something that is served, nothing wrong with it.
    Served,
    /// A request for patience. `true`: there is a last good one.
    Throttled(bool),
    /// A failure that may pass. `true`: there is a last good one.
    MayPass(bool),
    /// A failure that lasts until somebody does something.
    Lasting,
}

/// The pause after the first failure where nothing is served yet.
const FIRST: Duration = Duration::from_secs(1);

/// Somebody who asks for patience gets at most so many refresh intervals of it: ours is not the only caller of the
/// account, and a renewal takes days.
const MOST_PATIENCE: u32 = 10;

/// The pause until the next time. `failures` are those in a row, this one counted; `draw` is any number, and moves the
/// pause by up to a tenth, so that those that were asked for together drift apart.
pub(crate) fn pause(answer: Answer, failures: u32, refresh: Duration, draw: u64) -> Duration {
    let doubled = |first: Duration, most: Duration| {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
        first.saturating_mul(factor).min(most)
    };
    let pause = match answer {
        Answer::Served | Answer::Lasting | Answer::MayPass(true) => refresh,
        Answer::Throttled(true) => doubled(refresh.saturating_mul(2), refresh.saturating_mul(MOST_PATIENCE)),
        // A proxy waits.
        Answer::MayPass(false) => doubled(FIRST.min(refresh), refresh),
        Answer::Throttled(false) => doubled((FIRST * 2).min(refresh), refresh),
    };
    let tenths = u32::try_from(draw % 201).unwrap_or_default();
    pause.saturating_mul(900 + tenths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn pauses() {
        for (answer, failures, seconds) in [
            (Answer::Served, 0, 60),
            (Answer::Lasting, 9, 60),
            (Answer::MayPass(true), 9, 60),
            (Answer::MayPass(false), 1, 1),
            (Answer::MayPass(false), 3, 4),
            (Answer::MayPass(false), 40, 60),
            (Answer::Throttled(false), 1, 2),
            (Answer::Throttled(false), 40, 60),
            (Answer::Throttled(true), 1, 120),
            (Answer::Throttled(true), 2, 240),
            (Answer::Throttled(true), 40, 600),
        ] {
            assert_eq!(pause(answer, failures, MINUTE, 100), Duration::from_secs(seconds), "{answer:?} {failures}");
        }
    }

    #[test]
    fn a_draw_moves_a_pause_by_a_tenth() {
        assert_eq!(pause(Answer::Served, 0, MINUTE, 0), Duration::from_secs(54));
        assert_eq!(pause(Answer::Served, 0, MINUTE, 200), Duration::from_secs(66));
        assert_eq!(pause(Answer::Served, 0, MINUTE, 201), Duration::from_secs(54));
    }

    #[test]
    fn a_short_interval_is_kept() {
        let refresh = Duration::from_millis(100);
        assert!(pause(Answer::MayPass(false), 40, refresh, 200) < Duration::from_millis(120));
        assert!(pause(Answer::Throttled(false), 1, refresh, 200) < Duration::from_millis(120));
    }
}
