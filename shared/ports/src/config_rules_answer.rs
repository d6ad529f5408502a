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
