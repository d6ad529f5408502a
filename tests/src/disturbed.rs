//! Runs a built function with one fault at one of its calls, and compares the result with an undisturbed run.
//!
//! A case passes if
//! - the end state is that of the undisturbed run, after the same invocation if a retry resolves the fault, otherwise
//!   after the next one;
//! - AWS Config received the same evaluations as from the undisturbed run;
//! - no more pages were sent than by the undisturbed run, or one more for a fault that no retry resolves;
//! - a fault that a retry resolves costs at most one more request, except for a lost response;
//! - an invocation fails only for a fault that no retry resolves, or a lost response, and its error names the class.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use jiff::SignedDuration;
use serde_json::Value;

use crate::faults::Fault;
use crate::function::Build;
use crate::way::Way;

/// The test fixture of one case. It shares nothing with another case that a run could change.
pub trait Scene {
    /// The relay between the function and the services.
    fn way(&self) -> &Way;
    /// The build of the function.
    fn build(&self) -> Build;
    /// The event of the invocation. The same event is delivered again if the invocation fails.
    fn event(&self) -> Value;
    /// The event of a later run.
    fn next_event(&self) -> Value {
        self.event()
    }
    /// Lets enough time pass for the next invocation not to be blocked by the leases of the last one.
    fn settle(&self) -> impl Future<Output = ()>;
    /// Lets this time pass for every record in the state table.
    fn pass(&self, time: SignedDuration) -> impl Future<Output = ()>;
    /// The end state: all documents and resources that a run writes, without times.
    fn end(&self) -> impl Future<Output = BTreeMap<String, Value>>;
}

/// The result of a case.
#[derive(Debug)]
struct CaseOutcome {
    answer: Result<Value, Value>,
    again: Option<Result<Value, Value>>,
    end: BTreeMap<String, Value>,
    end_again: Option<BTreeMap<String, Value>>,
    evaluations: BTreeSet<(String, String)>,
    pages: Vec<String>,
    requests: usize,
    happened: Vec<(String, Fault)>,
}

/// The number of concurrent cases: processes wait for each other's answers most of the time.
const CONCURRENT_CASES: usize = 4;

/// The number of cases, and how many of them needed another invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of cases.
    pub cases: usize,
    /// The number of cases with the right end state only after another invocation.
    pub again: usize,
    /// The number of cases that sent a page.
    pub paged: usize,
}

/// A sample of all cases: every fault at one call each, at different calls, and a throttle at every call.
#[must_use]
pub fn sample(requests: usize) -> Vec<(usize, Fault)> {
    let spread = Fault::ALL.iter().enumerate().map(|(at, fault)| (at * 5 % requests.max(1), *fault));
    let throttled = (0..requests).map(|request| (request, Fault::Throttle));
    let all: BTreeSet<(usize, Fault)> = spread.chain(throttled).collect();
    all.into_iter().collect()
}

/// Every fault at every call.
#[must_use]
pub fn every(requests: usize) -> Vec<(usize, Fault)> {
    (0..requests).flat_map(|request| Fault::ALL.map(|fault| (request, fault))).collect()
}

/// Runs the cases that `choose` returns for the number of requests of the undisturbed run. `set` creates the fixture of
/// each case by a name.
pub async fn run<S: Scene>(set: impl AsyncFn(String) -> S, choose: impl Fn(usize) -> Vec<(usize, Fault)>) -> Tally {
    let undisturbed = case(&set("calm".to_owned()).await, None).await;
    undisturbed.answer.as_ref().expect("an undisturbed run succeeds");
    // On a loaded machine an undisturbed run may repeat a call that took too long.
    let requests = undisturbed.requests.min(case(&set("calm-again".to_owned()).await, None).await.requests);
    assert!(requests > 2, "{requests} requests");
    let cases = choose(requests);
    let (set, undisturbed) = (&set, &undisturbed);
    let outcomes: Vec<_> = stream::iter(cases)
        .map(|(request, fault)| async move {
            let name = format!("{request}-{fault:?}").to_lowercase();
            let scene = set(name).await;
            (request, fault, case(&scene, Some((request, fault))).await)
        })
        .buffer_unordered(CONCURRENT_CASES)
        .collect()
        .await;
    let (mut tally, mut wrong) = (Tally::default(), Vec::new());
    for (request, fault, outcome) in outcomes {
        tally.cases += 1;
        tally.again += usize::from(outcome.again.is_some());
        tally.paged += usize::from(outcome.pages.len() > undisturbed.pages.len());
        if let Some(problem) = problem(fault, &outcome, undisturbed) {
            let operation = outcome.happened.first().map_or("none", |(operation, _)| operation.as_str());
            wrong.push(format!("{fault:?} at request {request} ({operation}): {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), tally.cases, wrong.join("\n"));
    tally
}

async fn case(scene: &impl Scene, fault: Option<(usize, Fault)>) -> CaseOutcome {
    let (way, event) = (scene.way(), scene.event());
    let mut function = scene.build().start().await;
    if let Some((request, fault)) = fault {
        way.inject(request, fault);
    }
    let before = way.passed().len();
    let answer = function.answer(&event).await;
    way.heal();
    let requests = way.passed().len() - before + way.happened().len();
    let end = scene.end().await;
    // If a retry within the call does not help, the event is delivered again, or the next scheduled run does the same
    // work. A call without a response may take all the time of the invocation.
    let unresolved = |fault: Fault| !fault.is_retried() || matches!(fault, Fault::LostAnswer | Fault::NoAnswer);
    let comes_again = answer.is_err() || fault.is_none_or(|(_, fault)| unresolved(fault));
    let (again, end_again) = if comes_again {
        scene.settle().await;
        let event = if answer.is_err() { event } else { scene.next_event() };
        (Some(function.answer(&event).await), Some(scene.end().await))
    } else {
        (None, None)
    };
    CaseOutcome {
        answer,
        again,
        end,
        end_again,
        evaluations: config_answers(way),
        pages: way.pages(),
        requests,
        happened: way.happened(),
    }
}

/// The evaluations that AWS Config received: resources with their compliance.
#[must_use]
pub fn config_answers(way: &Way) -> BTreeSet<(String, String)> {
    let put = way.passed().into_iter().filter(|passed| passed.operation == "PutEvaluations");
    put.flat_map(|passed| {
        let body: Value = serde_json::from_str(&passed.body).unwrap_or_default();
        let evaluations = body["Evaluations"].as_array().cloned().unwrap_or_default();
        let text = |evaluation: &Value, member: &str| evaluation[member].as_str().unwrap_or_default().to_owned();
        let of = move |one: Value| (text(&one, "ComplianceResourceId"), text(&one, "ComplianceType"));
        evaluations.into_iter().map(of).collect::<Vec<_>>()
    })
    .collect()
}

/// The first difference between an end state and the expected one.
#[must_use]
pub fn difference(found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) -> Option<String> {
    expected.iter().find_map(|(name, expected)| {
        let found = found.get(name).unwrap_or(&Value::Null);
        (found != expected).then(|| format!("{name} is {found}, expected {expected}"))
    })
}

/// The reason why a case fails; `None` if it passes.
fn problem(fault: Fault, outcome: &CaseOutcome, undisturbed: &CaseOutcome) -> Option<String> {
    if outcome.happened.is_empty() {
        return Some("the function never made that request".to_owned());
    }
    if let Err(error) = &outcome.answer {
        if fault.is_retried() && fault != Fault::LostAnswer {
            return Some(format!("the invocation failed: {error}"));
        }
        if !error.to_string().contains(fault.class()) {
            return Some(format!("the error does not contain `{}`: {error}", fault.class()));
        }
    }
    if let Some(Err(error)) = &outcome.again {
        return Some(format!("the next invocation failed, too: {error}"));
    }
    let (found, expected) = match (&outcome.end_again, &undisturbed.end_again) {
        (Some(found), Some(expected)) => (found, expected),
        (_, _) => (&outcome.end, &undisturbed.end),
    };
    if let Some(difference) = difference(found, expected) {
        return Some(difference);
    }
    if outcome.evaluations != undisturbed.evaluations {
        return Some(format!("AWS Config received {:?} and not {:?}", outcome.evaluations, undisturbed.evaluations));
    }
    let pages = outcome.pages.len().saturating_sub(undisturbed.pages.len());
    if pages > usize::from(!fault.is_retried()) {
        return Some(format!("{pages} pages: {:?}", outcome.pages));
    }
    let extra = outcome.requests.saturating_sub(undisturbed.requests);
    if fault.is_retried() && fault != Fault::LostAnswer && extra > 1 {
        return Some(format!("{extra} more requests than undisturbed"));
    }
    None
}
