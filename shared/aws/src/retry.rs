//! Which calls are retried, how soon, and how often. The rules fit a function that is invoked once a minute and has
//! seconds.
//!
//! | failure | retried | delay before the next attempt |
//! |-|-|-|
//! | throttled | up to [`ATTEMPTS`] attempts | 50 to 500 ms, then 50 to 1,000 ms |
//! | server's error, reset or closed connection | up to [`ATTEMPTS`] attempts | 50 to 150 ms, then 50 to 250 ms |
//! | signature of a wrong time | up to [`ATTEMPTS`] attempts, each signed again with the clock of the response | the same |
//! | expired token, credentials that are not known yet | once, with credentials that are fetched again | the same |
//! | no response | once | the same |
//! | response that cannot be read | once | the same |
//! | transaction that was cancelled only because of another one | up to [`ATTEMPTS`] attempts | the same |
//! | anything else: denied, conflict, not found, quota, a response that is too long | no | |
//!
//! A delay that the service requests is respected up to a second. No retry is started that the invocation's deadline
//! would cut off: the failure is returned while there is time to report it.
//!
//! The mode is the SDK's `standard`. The `adaptive` mode learns a rate from the calls that it sends. A caller with a
//! few calls a minute gets a rate close to nothing: one throttle delayed the next call by ten seconds. The tokens of
//! [`tokens`] are refilled with time, so that an outage does not use up the retries of the day.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_appmesh::config::retry::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};
use aws_smithy_types::retry::ErrorKind;
use ports::{Deadline, PortErrorKind};

use crate::attempts::{AttemptFailure, CallLog, QUOTA, TOO_LONG};
use crate::fresh_identity::Renewal;

/// The maximum number of attempts of a call. Three attempts are enough for a lost connection or a throttled second. A
/// longer failure is left to Lambda's retry or the next scheduled run.
pub const ATTEMPTS: u32 = 3;

/// The shortest delay before another attempt: after a shorter one, the service would throttle again.
pub const SHORTEST_DELAY: Duration = Duration::from_millis(50);

/// The longest delay before another attempt.
pub const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// The minimum time that another attempt takes. No attempt is started with less time left until the deadline.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(100);

/// The retries that one client has in stock, and the number that are refilled each second. A scheduled run each minute
/// has at least sixty, more than its calls need. A service that is down gets no more than that.
const RETRY_QUOTA: (usize, f32) = (60, 1.0);

/// The retry settings of every client that [`crate::Aws::open`] creates.
#[must_use]
pub fn config() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(SHORTEST_DELAY)
        .with_max_backoff(LONGEST_DELAY)
}

/// The stock of retries of one client. Each client has a separate stock, so that the outage of one service does not use
/// up the others' retries.
pub(crate) fn tokens() -> RetryPartition {
    let (capacity, refill_rate) = RETRY_QUOTA;
    let bucket = TokenBucket::builder().capacity(capacity).refill_rate(refill_rate);
    let bucket = bucket.retry_cost(1).throttling_retry_cost(1).timeout_retry_cost(1);
    RetryPartition::custom("meshwarden").token_bucket(bucket.build()).build()
}

/// Decides whether another attempt follows a failed one. Runs after the SDK's own classifiers and may overrule them.
#[derive(Debug)]
pub(crate) struct RetryRules(pub(crate) Renewal);

impl ClassifyRetry for RetryRules {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        self.classify_retry_v2(context, &RetryAction::NoActionIndicated)
    }

    fn classify_retry_v2(&self, context: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        // The log has already classified the failure. Without a log, as in a client that a test uses directly, it is
        // classified here.
        let log = CallLog::current();
        let failure = log.failures.last().cloned();
        let failure = failure.unwrap_or_else(|| AttemptFailure::new(error, context.response(), None));
        let suggested = match previous {
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind, retry_after }) => {
                Some((*kind, *retry_after))
            }
            _ => None,
        };
        let retry = decide(&failure, suggested, log.begun.max(1), Deadline::remaining(), draw());
        match retry {
            Some((kind, delay)) => {
                if failure.renews {
                    self.0.renew();
                }
                RetryAction::retryable_error_with_explicit_delay(kind, delay)
            }
            None => RetryAction::RetryForbidden,
        }
    }

    fn name(&self) -> &'static str {
        "RetryRules"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// A random number from 0 to 1. Two functions that were throttled together must not retry together.
#[expect(clippy::cast_precision_loss, reason = "a thousand steps are enough")]
fn draw() -> f64 {
    (RandomState::new().hash_one(()) % 1000) as f64 / 1000.0
}

/// The next attempt after a failed one, if there is one: the SDK's kind of the error, and the delay before the attempt.
/// `suggested` is the decision of the SDK's own classifiers. `attempt` is the number of the failed attempt from 1.
/// `left` is the time until the deadline, and `draw` a random number from 0 to 1.
fn decide(
    failure: &AttemptFailure,
    suggested: Option<(ErrorKind, Option<Duration>)>,
    attempt: u32,
    left: Option<Duration>,
    draw: f64,
) -> Option<(ErrorKind, Duration)> {
    let once = |kind| (attempt == 1).then_some(kind);
    let is_unreadable = failure.status.is_some_and(|status| (200..300).contains(&status));
    let kind = match failure.kind {
        PortErrorKind::Throttled => Some(ErrorKind::ThrottlingError),
        PortErrorKind::Unavailable => Some(ErrorKind::TransientError),
        PortErrorKind::TimedOut => once(ErrorKind::TransientError),
        PortErrorKind::Expired | PortErrorKind::Denied if failure.renews => once(ErrorKind::ServerError),
        PortErrorKind::Expired => Some(ErrorKind::ServerError),
        _ if failure.code == Some(QUOTA) || failure.code == Some(TOO_LONG) => None,
        PortErrorKind::Other if is_unreadable => once(ErrorKind::TransientError),
        PortErrorKind::Denied => None,
        PortErrorKind::NotFound | PortErrorKind::Conflict | PortErrorKind::Other => suggested.map(|(kind, _)| kind),
    }?;
    let span = match (kind, attempt) {
        (ErrorKind::ThrottlingError, 1) => 450,
        (ErrorKind::ThrottlingError, _) => 950,
        (_, 1) => 100,
        (_, _) => 200,
    };
    let drawn = SHORTEST_DELAY + Duration::from_millis(span).mul_f64(draw.clamp(0.0, 1.0));
    let wanted = suggested.and_then(|(_, retry_after)| retry_after).unwrap_or_default();
    let delay = drawn.max(wanted).min(LONGEST_DELAY);
    let has_time = left.is_none_or(|left| left >= delay + SHORTEST_ATTEMPT);
    has_time.then_some((kind, delay))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: PortErrorKind) -> AttemptFailure {
        AttemptFailure { kind, code: None, renews: false, status: Some(400) }
    }

    /// The numbers of the attempts that another one follows.
    fn retried(failure: &AttemptFailure, suggested: Option<ErrorKind>) -> Vec<u32> {
        let suggested = suggested.map(|kind| (kind, None));
        (1..ATTEMPTS).filter(|attempt| decide(failure, suggested, *attempt, None, 0.5).is_some()).collect()
    }

    #[test]
    fn each_error_kind_has_its_retries() {
        use PortErrorKind::{Conflict, Denied, Expired, NotFound, Other, Throttled, TimedOut, Unavailable};
        for (kind, attempts) in [
            (Throttled, &[1, 2][..]),
            (Unavailable, &[1, 2]),
            (Expired, &[1, 2]),
            (TimedOut, &[1]),
            (Denied, &[]),
            (NotFound, &[]),
            (Conflict, &[]),
            (Other, &[]),
        ] {
            assert_eq!(retried(&failure(kind), None), attempts, "{kind}");
        }
        for (name, failure, suggested, attempts) in [
            ("an expired token", AttemptFailure { renews: true, ..failure(Expired) }, None, &[1][..]),
            ("an unknown token", AttemptFailure { renews: true, ..failure(Denied) }, None, &[1]),
            ("an unreadable answer", AttemptFailure { status: Some(200), ..failure(Other) }, None, &[1]),
            ("a conflict of transactions", failure(Other), Some(ErrorKind::TransientError), &[1, 2]),
            ("a denied call", failure(Denied), Some(ErrorKind::ServerError), &[]),
            (
                "an answer that is too long",
                AttemptFailure { code: Some(TOO_LONG), status: Some(200), ..failure(Other) },
                None,
                &[],
            ),
            ("a quota", AttemptFailure { code: Some(QUOTA), ..failure(Other) }, Some(ErrorKind::ThrottlingError), &[]),
        ] {
            assert_eq!(retried(&failure, suggested), attempts, "{name}");
        }
    }

    #[test]
    fn throttle_delays_are_50_to_1000_ms() {
        for attempt in 1..ATTEMPTS {
            for draw in [0.0, 0.3, 1.0] {
                for suggested_delay in
                    [None, Some(Duration::ZERO), Some(Duration::from_millis(700)), Some(Duration::from_mins(1))]
                {
                    let suggested = Some((ErrorKind::ThrottlingError, suggested_delay));
                    let retry = decide(&failure(PortErrorKind::Throttled), suggested, attempt, None, draw);
                    let (kind, delay) = retry.unwrap();
                    assert_eq!(kind, ErrorKind::ThrottlingError);
                    assert!((SHORTEST_DELAY..=LONGEST_DELAY).contains(&delay), "{delay:?}");
                    assert!(
                        delay >= suggested_delay.unwrap_or_default().min(LONGEST_DELAY),
                        "{delay:?} for {suggested_delay:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_retry_starts_that_the_deadline_would_cut_off() {
        let throttled = failure(PortErrorKind::Throttled);
        for (left, retries) in [(60, false), (149, false), (150, true), (3000, true)] {
            let retry = decide(&throttled, None, 1, Some(Duration::from_millis(left)), 0.0);
            assert_eq!(retry.is_some(), retries, "{left} ms left");
        }
    }

    #[test]
    fn delays_differ() {
        let draws: std::collections::BTreeSet<u64> = (0..64).map(|_| draw().to_bits()).collect();
        assert!(draws.len() > 32, "{} of 64", draws.len());
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(&f64::from_bits(*draw))));
    }
}
