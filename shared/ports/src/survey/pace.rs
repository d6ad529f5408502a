//! Adaptive concurrency: more calls while they succeed, half as many after a throttle.

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};

use crate::{Deadline, PortError, PortErrorKind};

/// The maximum number of attempts of a throttled call. The SDK's own retries are part of each attempt.
const PATIENCE: u32 = 6;

/// The wait after the first throttle; it doubles with each consecutive one.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The maximum wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The time that is kept for a last try and for reporting its failure. With less left, the time of the invocation ends
/// before the call does, and the throttle is never reported.
const LAST_TRY: Duration = Duration::from_secs(3);

/// The number of concurrent calls, adapted to the server: one more after each successful round, half as many after a
/// throttle. It is kept between surveys.
#[derive(Clone, Debug)]
pub struct Pace {
    now: usize,
    most: usize,
    went_well: usize,
    wait: Duration,
    calls: u64,
}

/// The results of the calls.
#[derive(Debug)]
pub struct Answers<T, R> {
    /// Items with their results.
    pub done: Vec<(T, R)>,
    /// Items with their errors.
    pub failed: Vec<(T, PortError)>,
}

impl Pace {
    /// Begins with `start` concurrent calls, with a maximum of `most`; both are at least 1.
    #[must_use]
    pub fn new(start: usize, most: usize) -> Self {
        let most = most.max(1);
        Self { now: start.clamp(1, most), most, went_well: 0, wait: Duration::ZERO, calls: 0 }
    }

    /// The present number of concurrent calls.
    #[must_use]
    pub const fn at_a_time(&self) -> usize {
        self.now
    }

    /// The number of calls so far.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// Makes one call for each item. A throttled call is repeated, up to a maximum number of attempts and while time is
    /// left; other failures are returned, and do not stop the other calls.
    pub async fn each<T, R, F>(&mut self, items: Vec<T>, call: impl Fn(T) -> F) -> Answers<T, R>
    where
        T: Clone,
        F: Future<Output = Result<R, PortError>>,
    {
        let mut waiting: VecDeque<(T, u32)> = items.into_iter().map(|item| (item, 0)).collect();
        let mut under_way = FuturesUnordered::new();
        let mut answers = Answers { done: Vec::new(), failed: Vec::new() };
        let mut told_to_wait = false;
        loop {
            if told_to_wait && under_way.is_empty() {
                tokio::time::sleep(self.wait).await;
                told_to_wait = false;
            }
            // After a throttle, the calls in progress are completed before further ones begin.
            while !told_to_wait
                && under_way.len() < self.now
                && let Some((item, tried)) = waiting.pop_front()
            {
                self.calls += 1;
                let answer = call(item.clone());
                under_way.push(async move { (item, tried, answer.await) });
            }
            let Some((item, tried, answer)) = under_way.next().await else { return answers };
            match answer {
                Ok(given) => {
                    if !told_to_wait {
                        self.bears();
                    }
                    answers.done.push((item, given));
                }
                Err(error) if error.kind == PortErrorKind::Throttled && tried < PATIENCE && self.has_time() => {
                    if !told_to_wait {
                        self.halve();
                        told_to_wait = true;
                    }
                    waiting.push_back((item, tried + 1));
                }
                Err(error) => answers.failed.push((item, error)),
            }
        }
    }

    fn bears(&mut self) {
        self.wait = Duration::ZERO;
        self.went_well += 1;
        if self.went_well >= self.now {
            self.went_well = 0;
            self.now = (self.now + 1).min(self.most);
        }
    }

    fn halve(&mut self) {
        self.went_well = 0;
        self.now = (self.now / 2).max(1);
        self.wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
    }

    fn has_time(&self) -> bool {
        Deadline::remaining().is_none_or(|left| left > self.wait * 2 + LAST_TRY)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    fn throttled() -> PortError {
        PortError::new("describe", PortErrorKind::Throttled, "slow down")
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_milliseconds_a_call_and_forty_at_a_time() {
        let (under_way, most) = (Cell::new(0_usize), Cell::new(0_usize));
        let began = tokio::time::Instant::now();
        let mut pace = Pace::new(16, 40);
        let answers = pace
            .each((0..1000).collect(), |item: u32| {
                let (under_way, most) = (&under_way, &most);
                async move {
                    under_way.set(under_way.get() + 1);
                    most.set(most.get().max(under_way.get()));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    under_way.set(under_way.get() - 1);
                    Ok::<_, PortError>(item)
                }
            })
            .await;
        assert_eq!((answers.done.len(), answers.failed.len(), pace.calls()), (1000, 0, 1000));
        assert!(most.get() <= 40, "{}", most.get());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}: a twentieth of one call after another");
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_halves_and_everything_is_read_in_the_end() {
        let refused = Cell::new(0);
        let mut pace = Pace::new(32, 40);
        let answers = pace
            .each((0..200).collect(), |item: u32| {
                let refused = &refused;
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if item % 10 == 3 && refused.get() < 30 {
                        refused.set(refused.get() + 1);
                        return Err(throttled());
                    }
                    Ok(item)
                }
            })
            .await;
        assert_eq!((answers.done.len(), answers.failed.len()), (200, 0));
        assert_eq!(refused.get(), 30, "the test refused what it meant to");
        assert!(pace.at_a_time() < 32, "{}", pace.at_a_time());
        assert_eq!(pace.calls(), 230);
    }

    /// The server throttles from the first to the fourth tenth of a second: everything is still read, with fewer
    /// concurrent calls at first, and with more again later.
    #[tokio::test(start_paused = true)]
    async fn pace_falls_while_throttled_and_rises_afterwards() {
        let began = tokio::time::Instant::now();
        let (under_way, refused) = (Cell::new(0_usize), Cell::new(0_u64));
        let seen = RefCell::new(Vec::new());
        let mut pace = Pace::new(16, 40);
        let answers = pace
            .each((0..2000).collect(), |item: u32| {
                let (under_way, refused, seen) = (&under_way, &refused, &seen);
                async move {
                    under_way.set(under_way.get() + 1);
                    let since = began.elapsed();
                    seen.borrow_mut().push((since, under_way.get()));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    under_way.set(under_way.get() - 1);
                    if (Duration::from_millis(100)..Duration::from_millis(400)).contains(&since) {
                        refused.set(refused.get() + 1);
                        return Err(throttled());
                    }
                    Ok(item)
                }
            })
            .await;
        assert_eq!((answers.done.len(), answers.failed.len()), (2000, 0));
        assert_eq!(pace.calls(), 2000 + refused.get());
        let most = |from: u64, to: u64| {
            let within = Duration::from_millis(from)..Duration::from_millis(to);
            seen.borrow()
                .iter()
                .filter(|(at, _)| within.contains(at))
                .map(|(_, count)| *count)
                .max()
                .unwrap_or_default()
        };
        let (before, during, last) = (most(0, 100), most(200, 400), most(1000, 60_000));
        assert!(before >= 16, "{before}");
        assert!(during <= before / 2, "{before}, then {during}");
        assert_eq!(last, 40, "and in the end as many as ever");
    }

    #[tokio::test(start_paused = true)]
    async fn endless_throttling_ends() {
        let mut pace = Pace::new(4, 4);
        let answers = pace.each(vec![1, 2, 3], |_: u32| async { Err::<(), _>(throttled()) }).await;
        assert_eq!((answers.done.len(), answers.failed.len(), pace.at_a_time()), (0, 3, 1));
        assert_eq!(pace.calls(), 3 * u64::from(PATIENCE + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn without_time_left_nothing_is_waited_for() {
        let mut pace = Pace::new(4, 4);
        let work = pace.each(vec![1], |_: u32| async { Err::<(), _>(throttled()) });
        let answers = Deadline::after(Duration::from_millis(150)).cover(work).await;
        assert_eq!(answers.failed.len(), 1);
    }

    #[tokio::test]
    async fn one_failure_keeps_no_other_call_from_being_made() {
        let made = RefCell::new(Vec::new());
        let mut pace = Pace::new(2, 2);
        let answers = pace
            .each(vec![1, 2, 3, 4], |item: u32| {
                made.borrow_mut().push(item);
                async move {
                    match item {
                        2 => Err(PortError::new("describe", PortErrorKind::Denied, "no")),
                        other => Ok(other),
                    }
                }
            })
            .await;
        assert_eq!(made.into_inner(), [1, 2, 3, 4]);
        assert_eq!((answers.done.len(), answers.failed.len()), (3, 1));
    }
}
