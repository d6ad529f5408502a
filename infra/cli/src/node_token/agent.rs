//! The loop of the agent: renew at half the lifetime, retry soon after a failure.

use std::fmt::Display;
use std::time::Duration;

/// The bounds of the pause after a failure, which is a twentieth of the lifetime.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The pause before the next request.
fn pause(lifetime: Duration, renewed: bool) -> Duration {
    if renewed { lifetime / 2 } else { (lifetime / 20).clamp(PAUSES.0, PAUSES.1).min(lifetime / 2) }
}

/// Renews a token of this lifetime forever. A failure is reported, and the token in use stays until it expires.
pub(super) async fn renew<E: Display>(
    lifetime: Duration,
    mut renewal: impl AsyncFnMut() -> Result<(), E>,
    mut report: impl FnMut(&E),
) {
    loop {
        let outcome = renewal().await;
        if let Err(error) = &outcome {
            report(error);
        }
        tokio::time::sleep(pause(lifetime, outcome.is_ok())).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn token_is_renewed_at_half_its_lifetime_and_soon_after_a_failure() {
        let (start, lifetime) = (Instant::now(), Duration::from_hours(1));
        let (mut requests, mut failures) = (Vec::new(), 0);
        let renewal = async || {
            requests.push(start.elapsed().as_secs());
            if (2..5).contains(&requests.len()) { Err("the control plane does not answer") } else { Ok(()) }
        };
        let renewing = renew(lifetime, renewal, |_: &&str| failures += 1);
        assert!(timeout(Duration::from_secs(4000), renewing).await.is_err(), "the agent does not end");
        assert_eq!(requests, [0, 1800, 1860, 1920, 1980, 3780]);
        assert_eq!(failures, 3);
    }

    #[test]
    fn short_lifetimes_have_short_pauses() {
        for (lifetime, renewed, expected) in [
            (4, true, Duration::from_secs(2)),
            (4, false, Duration::from_secs(1)),
            (1, false, Duration::from_millis(500)),
            (86_400, true, Duration::from_hours(12)),
            (86_400, false, Duration::from_mins(1)),
        ] {
            assert_eq!(pause(Duration::from_secs(lifetime), renewed), expected, "{lifetime} {renewed}");
        }
    }
}
