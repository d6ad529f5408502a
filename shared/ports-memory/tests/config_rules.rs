//! Evaluations that AWS Config accepts only in part.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use mesh::name::Arn;

use ports::{Annotation, ConfigResource, Evaluation, PutOutcome, ResultToken, RuleCompliance, put_all_evaluations};
use ports_memory::{Call, Effect, Failure, Fault, Faults, MemoryConfigRules};

/// The additional calls that `put_all_evaluations` makes at most to isolate invalid evaluations.
const MOST_EXTRA_CALLS: usize = 60;

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
    let all = |rules: &MemoryConfigRules, _: &Faults| (0..250).for_each(|number| rules.invalidate(resource(number)));
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
    for (failure, may_heal) in [(Failure::Throttled, true), (Failure::Unavailable, true), (Failure::Denied, false)] {
        let second = move |_: &MemoryConfigRules, faults: &Faults| {
            faults.once(|call: &Call| call.number == 1, Fault::Fails(failure, Effect::NotDone));
        };
        let (outcome, arrived, calls) = put(250, second).await;
        assert_eq!((arrived, calls, outcome.unsent, outcome.may_heal()), (100, 2, 150, may_heal), "{failure:?}");
    }
}
