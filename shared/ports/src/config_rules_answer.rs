//! Answers one invocation of a rule with any number of evaluations.
//!
//! | response of AWS Config | reaction |
//! |---|---|
//! | an evaluation failed | sent again, up to [`ATTEMPTS`] times, with a growing pause |
//! | the request is invalid | split in halves, so that one invalid evaluation does not block the others |
//! | the token is invalid, or the call is denied | the rest is not sent, since no retry can succeed |
//! | a transient error, after the adapter's own retries | the rest is not sent; the event should be retried |

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::config_rules::{ConfigRules, Evaluation, MOST_EVALUATIONS, PutAnswer, ResultToken};
use crate::{Deadline, PortError, PortErrorKind};

/// The maximum number of attempts for an evaluation that AWS Config could not store.
const ATTEMPTS: u32 = 3;

/// The pause before the first retry; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The maximum number of calls beyond one per full batch. Finding one invalid evaluation among a
/// hundred takes fourteen.
const MOST_EXTRA_CALLS: usize = 60;

/// The result of sending the evaluations of one invocation.
#[derive(Debug, Default)]
pub struct PutOutcome {
    /// The number of accepted evaluations.
    pub accepted: usize,
    /// The rejected evaluations.
    pub refused: Vec<RefusedEvaluation>,
    /// The number of evaluations that were not sent, or may not have arrived.
    pub unsent: usize,
    /// The error that prevented these evaluations.
    pub error: Option<PortError>,
}

/// A rejected evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedEvaluation {
    /// The evaluation.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// The message of AWS Config; absent if the evaluation failed without a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl PutOutcome {
    /// Whether AWS Config accepted every evaluation.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.error.is_none()
    }

    /// Whether a retry of the event may complete the answer.
    #[must_use]
    pub fn may_heal(&self) -> bool {
        let transient = self.error.as_ref().is_some_and(|error| error.kind.may_heal());
        transient || self.refused.iter().any(|refused| refused.message.is_none())
    }
}

/// Evaluations that are sent together.
struct Batch {
    evaluations: Vec<Evaluation>,
    attempt: u32,
}

/// Sends all evaluations of one invocation.
pub async fn put_all_evaluations(
    rules: &dyn ConfigRules,
    token: &ResultToken,
    evaluations: &[Evaluation],
) -> PutOutcome {
    let first = |batch: &[Evaluation]| Batch { evaluations: batch.to_vec(), attempt: 1 };
    let mut waiting: VecDeque<Batch> = evaluations.chunks(MOST_EVALUATIONS).map(first).collect();
    let mut outcome = PutOutcome::default();
    let mut calls_left = waiting.len() + MOST_EXTRA_CALLS;
    while let Some(batch) = waiting.pop_front() {
        let answer = match calls_left.checked_sub(1) {
            Some(left) => {
                calls_left = left;
                rules.put_evaluations(token, &batch.evaluations).await
            }
            None => Err(cannot(evaluations.len(), "too many of them are invalid")),
        };
        let Batch { evaluations: mut sent, attempt } = batch;
        match answer {
            Ok(PutAnswer::Taken { failed }) => {
                outcome.accepted += sent.len().saturating_sub(failed.len());
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(attempt - 1);
                if failed.is_empty() {
                } else if attempt < ATTEMPTS && Deadline::remaining().is_none_or(|left| left > pause * 2) {
                    tokio::time::sleep(pause).await;
                    waiting.push_back(Batch { evaluations: failed, attempt: attempt + 1 });
                } else {
                    let refused = |evaluation| RefusedEvaluation { evaluation, message: None };
                    outcome.refused.extend(failed.into_iter().map(refused));
                }
            }
            Ok(PutAnswer::Invalid { message }) if sent.len() < 2 => {
                let refused = |evaluation| RefusedEvaluation { evaluation, message: Some(message.clone()) };
                outcome.refused.extend(sent.into_iter().map(refused));
            }
            Ok(PutAnswer::Invalid { .. }) => {
                let second = sent.split_off(sent.len() / 2);
                waiting.push_front(Batch { evaluations: second, attempt });
                waiting.push_front(Batch { evaluations: sent, attempt });
            }
            Ok(PutAnswer::InvalidToken { message }) => {
                return outcome.without(&sent, &waiting, cannot(evaluations.len(), &message));
            }
            Err(error) => return outcome.without(&sent, &waiting, error),
        }
    }
    outcome
}

impl PutOutcome {
    fn without(mut self, sent: &[Evaluation], waiting: &VecDeque<Batch>, error: PortError) -> Self {
        self.unsent = sent.len() + waiting.iter().map(|batch| batch.evaluations.len()).sum::<usize>();
        self.error = Some(error);
        self
    }
}

fn cannot(count: usize, message: &str) -> PortError {
    PortError::new(format!("put {count} evaluations"), PortErrorKind::Other, message)
}

#[cfg(test)]
mod tests {
    use mesh::name::Arn;

    use super::*;
    use crate::memory::{Call, Effect, Failure, Fault, Faults, MemoryConfigRules};
    use crate::{Annotation, ConfigResource, RuleCompliance};

    fn resource(number: usize) -> ConfigResource {
        let arn = format!("arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/n{number}");
        ConfigResource::of_mesh(&Arn::parse(&arn).unwrap())
    }

    fn evaluations(count: usize) -> Vec<Evaluation> {
        let evaluation = |number| Evaluation {
            resource: resource(number),
            compliance: RuleCompliance::Compliant,
            annotation: Annotation::new(""),
            at: "2026-11-20T10:00:00Z".parse().unwrap(),
        };
        (0..count).map(evaluation).collect()
    }

    /// Sends this many evaluations to a service that `prepare` has configured; returns the outcome, the stored
    /// evaluations and the number of calls.
    async fn put(count: usize, prepare: impl Fn(&MemoryConfigRules, &Faults)) -> (PutOutcome, usize, usize) {
        let faults = Faults::default();
        let rules = MemoryConfigRules::new(faults.clone());
        prepare(&rules, &faults);
        let outcome = put_all_evaluations(&rules, &ResultToken::new("t"), &evaluations(count)).await;
        (outcome, rules.latest().len(), faults.calls().len())
    }

    #[tokio::test(start_paused = true)]
    async fn many_evaluations_are_sent_a_hundred_at_a_time() {
        for (count, calls) in [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3)] {
            let (outcome, arrived, made) = put(count, |_, _| {}).await;
            assert!(outcome.is_complete(), "{outcome:?}");
            assert_eq!((outcome.accepted, arrived, made), (count, count, calls));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failed_evaluation_is_sent_again_alone() {
        let (outcome, arrived, calls) = put(50, |rules, _| rules.refuse_times(resource(7), 2)).await;
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_eq!((arrived, calls), (50, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn evaluation_that_keeps_failing_is_reported_and_may_heal() {
        let (outcome, arrived, calls) = put(50, |rules, _| rules.refuse(resource(7))).await;
        assert_eq!((arrived, calls, outcome.refused.len(), outcome.may_heal()), (49, 3, 1, true));
        assert_eq!(outcome.refused[0].evaluation.resource, resource(7));
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_evaluation_costs_no_other_its_answer() {
        let (outcome, arrived, calls) = put(150, |rules, _| rules.invalidate(resource(42))).await;
        assert_eq!((arrived, outcome.refused.len(), outcome.may_heal()), (149, 1, false));
        assert!(outcome.refused[0].message.is_some());
        assert!(calls < 20, "{calls}");
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_evaluations_without_end_end() {
        let all =
            |rules: &MemoryConfigRules, _: &Faults| (0..250).for_each(|number| rules.invalidate(resource(number)));
        let (outcome, arrived, calls) = put(250, all).await;
        assert_eq!((arrived, outcome.may_heal()), (0, false));
        assert_eq!(outcome.refused.len() + outcome.unsent, 250);
        assert!(calls <= 3 + MOST_EXTRA_CALLS, "{calls}");
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_token_is_not_tried_again() {
        let (outcome, arrived, calls) = put(250, |rules, _| rules.expire("t")).await;
        assert_eq!((arrived, calls, outcome.unsent, outcome.may_heal()), (0, 1, 250, false));
    }

    #[tokio::test(start_paused = true)]
    async fn transient_error_leaves_the_rest_for_the_next_attempt() {
        for (failure, may_heal) in [(Failure::Throttled, true), (Failure::Unavailable, true), (Failure::Denied, false)]
        {
            let second = move |_: &MemoryConfigRules, faults: &Faults| {
                faults.once(|call: &Call| call.number == 1, Fault::Fails(failure, Effect::NotDone));
            };
            let (outcome, arrived, calls) = put(250, second).await;
            assert_eq!((arrived, calls, outcome.unsent, outcome.may_heal()), (100, 2, 150, may_heal), "{failure:?}");
        }
    }
}
