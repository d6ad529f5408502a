//! Whether an attempt may be made: not during a back-off, and not over a roll-back by an operator.

use jiff::Timestamp;

use super::defect::ReplacementDefect;
use super::leaf::LeafEvaluation;
use super::moved::MovedBack;
use super::reason::RotationKeepReason;
use super::record::ConsecutiveFailures;

/// The number of roll-backs after which the roll-back is permanent.
const FINAL_ROLL_BACK: u32 = 3;

impl LeafEvaluation<'_> {
    /// Checks whether the leaf may be changed now.
    pub(super) fn may_act(&mut self) -> Result<(), RotationKeepReason> {
        if let Some(held) = self.moved_back() {
            return Err(held);
        }
        match self.retry_at().filter(|(until, _)| self.index.now < *until) {
            Some((until, failures)) => Err(self.waits_for_retry(until, failures)),
            None => Ok(()),
        }
    }

    fn retry_at(&self) -> Option<(Timestamp, &ConsecutiveFailures)> {
        let failures = self.failures.as_ref()?;
        let leaf = self.counted();
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        Some((failures.retry_before(leaf.not_after, lifetime, &self.index.policy.back_off), failures))
    }

    fn waits_for_retry(&self, until: Timestamp, failures: &ConsecutiveFailures) -> RotationKeepReason {
        let (count, why) = (failures.count, failures.why.clone());
        if count >= u32::from(self.index.policy.back_off.page_after) {
            RotationKeepReason::KeepsFailing { until, failures: count, why }
        } else {
            RotationKeepReason::BackingOff { until, failures: count, why }
        }
    }

    /// Discards a pending version that cannot be used; the next attempt follows after a back-off, with a new key.
    pub(super) fn discard(&mut self, what: &str, defect: ReplacementDefect) -> RotationKeepReason {
        self.known.discard(what, self.index.now);
        self.failures = Some(ConsecutiveFailures::once_more(self.failures.take(), defect.to_string(), self.index.now));
        let (until, failures) =
            self.retry_at().map_or((self.index.now, 0), |(until, failures)| (until, failures.count));
        RotationKeepReason::PendingDiscarded { version: what.to_owned(), defect, until, failures }
    }

    /// The hold on a leaf that an operator or another controller moved back. An outage by expiry is worse than
    /// overruling a roll-back: the first is overruled near the end of the leaf, the second at its end, and
    /// a third never.
    fn moved_back(&mut self) -> Option<RotationKeepReason> {
        let moved = self.known.moved_back.clone().filter(|moved| moved.released.is_none())?;
        let resumes = match self.known.times_moved_back {
            0 | 1 => Some(self.urgent_at()),
            times if times < FINAL_ROLL_BACK => Some(self.chain.leaf.not_after),
            _ => None,
        };
        if resumes.is_some_and(|at| self.index.now >= at) {
            // Recorded permanently, because later attempts may change when the leaf counts as urgent.
            self.known.moved_back = Some(MovedBack { released: Some(self.index.now), ..moved });
            return None;
        }
        let MovedBack { from, seen: since, .. } = moved;
        Some(RotationKeepReason::MovedBack { certificate: self.name.clone(), from, since, resumes })
    }
}
