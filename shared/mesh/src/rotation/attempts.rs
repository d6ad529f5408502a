//! When an attempt may be made: not while an earlier one is being waited out, and not over a roll-back by an operator.

use jiff::Timestamp;

use super::defect::Defect;
use super::leaf::Work;
use super::moved::MovedBack;
use super::reason::KeepReason;
use super::record::Failures;

/// The number of the roll-back after which the word of whoever rolls back is final.
const FINAL_ROLL_BACK: u32 = 3;

impl Work<'_> {
    /// Whether something may be done about the leaf now.
    pub(super) fn may_act(&mut self) -> Result<(), KeepReason> {
        if let Some(held) = self.moved_back() {
            return Err(held);
        }
        match self.retry_at().filter(|(until, _)| self.scene.now < *until) {
            Some((until, failures)) => Err(self.waits_for_retry(until, failures)),
            None => Ok(()),
        }
    }

    fn retry_at(&self) -> Option<(Timestamp, &Failures)> {
        let failures = self.failures.as_ref()?;
        let leaf = self.counted();
        let lifetime = leaf.not_after.duration_since(leaf.not_before);
        Some((failures.retry_before(leaf.not_after, lifetime, &self.scene.policy.back_off), failures))
    }

    fn waits_for_retry(&self, until: Timestamp, failures: &Failures) -> KeepReason {
        let (count, why) = (failures.count, failures.why.clone());
        if count >= u32::from(self.scene.policy.back_off.page_after) {
            KeepReason::KeepsFailing { until, failures: count, why }
        } else {
            KeepReason::BackingOff { until, failures: count, why }
        }
    }

    /// Gives up what is pending, because it can't be used; the next attempt is made after a while, with a fresh key.
    pub(super) fn discard(&mut self, what: &str, defect: Defect) -> KeepReason {
        self.known.discard(what, self.scene.now);
        self.failures = Some(Failures::once_more(self.failures.take(), defect.to_string(), self.scene.now));
        let (until, failures) =
            self.retry_at().map_or((self.scene.now, 0), |(until, failures)| (until, failures.count));
        KeepReason::PendingDiscarded { version: what.to_owned(), defect, until, failures }
    }

    /// The reason to leave a leaf alone that was put back by somebody else. An outage by expiry is worse than to
    /// overrule a roll-back, so it is overruled near the end of the leaf; after a second one at its end; then never.
    fn moved_back(&mut self) -> Option<KeepReason> {
        let moved = self.known.moved_back.clone().filter(|moved| moved.released.is_none())?;
        let resumes = match self.known.times_moved_back {
            0 | 1 => Some(self.urgent_at()),
            times if times < FINAL_ROLL_BACK => Some(self.chain.leaf.not_after),
            _ => None,
        };
        if resumes.is_some_and(|at| self.scene.now >= at) {
            // For good: what is urgent depends on what an attempt has found out about the leaf.
            self.known.moved_back = Some(MovedBack { released: Some(self.scene.now), ..moved });
            return None;
        }
        let MovedBack { from, seen: since, .. } = moved;
        Some(KeepReason::MovedBack { certificate: self.name.clone(), from, since, resumes })
    }
}
