//! The fault suite of a function: one body for all functions, run against the built command.
//!
//! ```text
//! single faults:   one fault of each class at each call of a run      -> end state, answers, pages
//! lasting faults:  throttled or denied at one operation, for days     -> pages a day, signals, answers
//! ```
//!
//! A function supplies its fixtures by [`FaultSuite`]. [`fault_suite_tests!`](crate::fault_suite_tests) defines its
//! four tests.

mod config;
mod shop;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use jiff::SignedDuration;

pub use self::config::ConfigFaultSuite;
pub use self::shop::ShopFaultSuite;
use crate::disturbed::{self, Scene, config_answers};
use crate::faults::Fault;
use crate::function::log_metric;

/// The extent of a run of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A sample that is fast enough for every commit.
    Sample,
    /// Every fault at every call, which takes minutes.
    Every,
}

/// The plan for lasting faults: new processes one after the other, with time in between.
#[derive(Clone, Copy, Debug)]
pub struct LastingPlan {
    /// The time between two runs: at most three schedule intervals, so that the runs count as consecutive.
    pub every: SignedDuration,
    /// The number of runs in a sample.
    pub few_runs: usize,
    /// The number of runs in the whole suite.
    pub many_runs: usize,
    /// The operations without which nothing can be observed: a fault there sends exactly one page a day.
    pub must_page: fn(&str) -> bool,
    /// The operations that another test covers.
    pub is_left_out: fn(&str) -> bool,
    /// The faults in a sample.
    pub sample: &'static [Fault],
}

/// The parts of the fault suite that depend on the function.
pub trait FaultSuite {
    /// The services that all fixtures share.
    type Services;
    /// The fixture of one case.
    type Scene<'a>: Scene
    where
        Self: 'a;

    /// Starts the services. `None`, with the reason printed, if one is not installed.
    fn start(&self) -> impl Future<Output = Option<Self::Services>>;

    /// The fixture of a single fault. Every fixture has a different name.
    fn scene<'a>(&'a self, services: &'a Self::Services, name: &str) -> impl Future<Output = Self::Scene<'a>>;

    /// The fixture of a lasting fault.
    fn lasting_scene<'a>(&'a self, services: &'a Self::Services, name: &str) -> impl Future<Output = Self::Scene<'a>> {
        self.scene(services, name)
    }

    /// The plan for lasting faults.
    fn lasting_plan(&self) -> LastingPlan;

    /// Whether a sample contains this case.
    fn is_in_sample(&self, _request: usize, _fault: Fault) -> bool {
        true
    }
}

/// Puts one fault at one call of a run, case by case. [`disturbed::run`] lists the checks.
pub async fn check_single_faults<S: FaultSuite>(suite: &S, extent: Extent) {
    let Some(services) = suite.start().await else { return };
    let set = async |case: String| suite.scene(&services, &format!("{extent:?}-{case}").to_lowercase()).await;
    let choose = |requests: usize| match extent {
        Extent::Sample => {
            let all = disturbed::sample(requests).into_iter();
            all.filter(|(request, fault)| suite.is_in_sample(*request, *fault)).collect()
        }
        Extent::Every => selected(disturbed::every(requests)),
    };
    println!("{:?}", disturbed::run(set, choose).await);
}

/// The cases in the variable `FAULT_CASES`, as in `1:Malformed,16:Throttle`, to run failed cases again; all cases
/// without it.
fn selected(cases: Vec<(usize, Fault)>) -> Vec<(usize, Fault)> {
    let Ok(wanted) = std::env::var("FAULT_CASES") else { return cases };
    let is_wanted =
        |(request, fault): &(usize, Fault)| wanted.split(',').any(|one| one == format!("{request}:{fault:?}"));
    cases.into_iter().filter(is_wanted).collect()
}

/// The result of one lasting fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lasted {
    /// The operation that failed.
    pub operation: String,
    /// The fault at that operation.
    pub fault: Fault,
    /// The number of calls that met the fault.
    pub met: usize,
    /// The number of pages after each run.
    pub pages: Vec<usize>,
    /// The subjects of the pages.
    pub subjects: Vec<String>,
    /// The runs that met the fault and that no alarm of the template reports: they neither fail nor count
    /// a denied call.
    pub unseen: usize,
}

/// The number of concurrent fixtures of lasting faults: throttled processes wait most of the time.
const CONCURRENT_FIXTURES: usize = 6;

/// The number of runs of a throttle at an operation that need not page.
const THROTTLED_RUNS: usize = 12;

/// The time-out of an invocation while a fault lasts. A throttled call is retried until it ends.
const INVOCATION: Duration = Duration::from_secs(12);

/// Runs lasting faults at each operation of a run, and checks the pages.
pub async fn check_lasting_faults<S: FaultSuite>(suite: &S, extent: Extent) {
    let Some(services) = suite.start().await else { return };
    let plan = suite.lasting_plan();
    let set =
        async |case: String| suite.lasting_scene(&services, &format!("lasting-{extent:?}-{case}").to_lowercase()).await;
    let found = operations(&set("operations".to_owned()).await).await;
    let chosen = found.iter().map(String::as_str).filter(|one| !(plan.is_left_out)(one));
    let (needed, others): (Vec<&str>, Vec<&str>) = chosen.partition(|one| (plan.must_page)(one));
    let of_table = others.iter().copied().filter(|one| is_of_state_table(one));
    let needed_and_others: Vec<&str> = needed.iter().chain(&others).copied().collect();
    let few: Vec<&str> = needed.first().into_iter().chain(needed.last()).copied().chain(of_table).collect();
    // Throttled calls take the time of a whole invocation. Where they must not page, some hours of them are sufficient.
    let parts: Vec<(&[&str], &[Fault], usize)> = match extent {
        Extent::Sample => vec![(&few, plan.sample, plan.few_runs)],
        Extent::Every => vec![
            (&needed_and_others, &[Fault::Denied], plan.many_runs),
            (&needed, &[Fault::Throttle], plan.many_runs),
            (&others, &[Fault::Throttle], THROTTLED_RUNS),
        ],
    };
    for (part, (operations, faults, runs)) in parts.into_iter().enumerate() {
        let set = async |case: String| set(format!("{part}-{case}")).await;
        let lasted = lasting(set, operations, faults, plan.every, runs).await;
        assert_one_page_a_day(&lasted, plan.every, runs, plan.must_page);
        println!("{} lasting faults of {runs} runs: {lasted:?}", lasted.len());
    }
}

/// Runs a function with each of these faults at each of these operations, `runs` times and `every` apart. AWS Config
/// receives no answer that an undisturbed run does not send.
pub async fn lasting<S: Scene>(
    set: impl AsyncFn(String) -> S,
    operations: &[&str],
    faults: &[Fault],
    every: SignedDuration,
    runs: usize,
) -> Vec<Lasted> {
    let undisturbed = set("calm".to_owned()).await;
    undisturbed.build().start().await.answer(&undisturbed.event()).await.expect("an undisturbed run succeeds");
    let undisturbed = config_answers(undisturbed.way());
    let cases: Vec<(usize, &str, Fault)> = operations
        .iter()
        .flat_map(|operation| faults.iter().map(move |fault| (*operation, *fault)))
        .enumerate()
        .map(|(number, (operation, fault))| (number, operation, fault))
        .collect();
    let (set, undisturbed) = (&set, &undisturbed);
    stream::iter(cases)
        .map(|(number, operation, fault)| async move {
            let scene = set(number.to_string()).await;
            let way = scene.way();
            let mut lasted = Lasted {
                operation: operation.to_owned(),
                fault,
                met: 0,
                pages: Vec::new(),
                subjects: Vec::new(),
                unseen: 0,
            };
            for _ in 0..runs {
                let mut function = scene.build().with_time(INVOCATION).start().await;
                way.inject_always(operation, fault);
                let answer = function.answer(&scene.next_event()).await;
                way.heal();
                let met = way.happened().len();
                let log = function.log_with("\"Invocations\":").await;
                let is_seen = answer.is_err() || log_metric(&log, "CallsDenied") > 0;
                lasted.unseen += usize::from(met > lasted.met && !is_seen);
                lasted.met = met;
                lasted.pages.push(way.pages().len());
                // Leases expire in that time, too.
                scene.pass(every).await;
            }
            lasted.subjects = way.pages();
            let answers = config_answers(way);
            assert!(answers.is_subset(undisturbed), "{operation} {fault:?}: AWS Config received {answers:?}");
            lasted
        })
        .buffer_unordered(CONCURRENT_FIXTURES)
        .collect()
        .await
}

/// One fault of each class of errors.
const CLASSES: [Fault; 6] =
    [Fault::Throttle, Fault::InternalError, Fault::NoAnswer, Fault::ExpiredToken, Fault::Denied, Fault::Malformed];

/// Checks that a fault of any class that lasts for `runs` runs at any operation pages, and that no page is sent twice. Other
/// signals report faults at operations that `carries_pages` names. The classes in the variable `FAULT_CLASSES`, as in
/// `Denied,Throttle`, replace all of them.
pub async fn lasting_pages<S: Scene>(
    set: impl AsyncFn(String) -> S,
    carries_pages: fn(&str) -> bool,
    every: SignedDuration,
    runs: usize,
) {
    let found = operations(&set("operations".to_owned()).await).await;
    let chosen: Vec<&str> = found.iter().map(String::as_str).filter(|operation| !carries_pages(operation)).collect();
    let wanted = std::env::var("FAULT_CLASSES").ok();
    let is_wanted =
        |fault: &Fault| wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|one| one == format!("{fault:?}")));
    let faults: Vec<Fault> = CLASSES.into_iter().filter(is_wanted).collect();
    let lasted = lasting(set, &chosen, &faults, every, runs).await;
    let is_wrong = |one: &&Lasted| {
        let subjects: BTreeSet<&String> = one.subjects.iter().collect();
        one.met > 0 && (subjects.is_empty() || subjects.len() < one.subjects.len())
    };
    let wrong: Vec<String> = lasted.iter().filter(is_wrong).map(|one| format!("{one:?}")).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lasted.len(), wrong.join("\n"));
    for one in &lasted {
        println!("{} {:?}: met {}, {:?}", one.operation, one.fault, one.met, one.subjects);
    }
}

/// The operations of one undisturbed run, without duplicates.
async fn operations(scene: &impl Scene) -> BTreeSet<String> {
    let mut function = scene.build().start().await;
    function.answer(&scene.event()).await.expect("an undisturbed run succeeds");
    scene.way().passed().into_iter().map(|passed| passed.operation).collect()
}

/// Checks that each lasting fault paged at most once a day, and exactly once a day where it must page. Each
/// run with a denied call has to be visible to an alarm of the template.
fn assert_one_page_a_day(lasted: &[Lasted], every: SignedDuration, runs: usize, must_page: fn(&str) -> bool) {
    let runs = i32::try_from(runs).unwrap();
    let days = usize::try_from((every * runs).as_hours() / 24).unwrap().max(1);
    let mut wrong = Vec::new();
    for one @ Lasted { operation, fault, met, pages, unseen, subjects: _ } in lasted {
        let sent = pages.last().copied().unwrap_or_default();
        let is_enough = !must_page(operation) || sent == days;
        let is_silent = *fault == Fault::Denied && *unseen > 0;
        if sent > days || !is_enough || is_silent || *met == 0 {
            wrong.push(format!("{one:?}: {sent} pages in {days} days"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lasted.len(), wrong.join("\n"));
}

/// Whether this is an operation of the state table, which stores the pages that were sent.
fn is_of_state_table(operation: &str) -> bool {
    ["BatchGetItem", "TransactWriteItems", "PutItem", "UpdateItem", "Query"].contains(&operation)
}

/// The four tests of a function's fault suite: a sample for every commit, and all of it for `cargo xtask test --long`.
#[macro_export]
macro_rules! fault_suite_tests {
    ($suite:expr) => {
        #[tokio::test]
        async fn single_faults_change_nothing() {
            $crate::fault_suite::check_single_faults(&$suite, $crate::fault_suite::Extent::Sample).await;
        }

        #[tokio::test]
        async fn fault_that_lasts_is_one_page_a_day() {
            $crate::fault_suite::check_lasting_faults(&$suite, $crate::fault_suite::Extent::Sample).await;
        }

        #[tokio::test]
        #[ignore = "long: every fault at every call takes minutes; `cargo xtask test --long` runs it"]
        async fn every_fault_at_every_call_changes_nothing() {
            $crate::fault_suite::check_single_faults(&$suite, $crate::fault_suite::Extent::Every).await;
        }

        #[tokio::test]
        #[ignore = "long: days of runs take minutes; `cargo xtask test --long` runs it"]
        async fn every_fault_that_lasts_is_one_page_a_day() {
            $crate::fault_suite::check_lasting_faults(&$suite, $crate::fault_suite::Extent::Every).await;
        }
    };
}
