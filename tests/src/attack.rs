//! Tests a function with misbehaving AWS endpoints, one service after the other, and runs two copies of a function at
//! once.
//!
//! ```text
//! the built function ──▶ front (misbehaves for one service) ──▶ the relay ──▶ services
//! ```
//!
//! For every misbehaviour of an endpoint:
//! - the function does not panic, and ends before its deadline;
//! - its memory stays below [`MOST_MEMORY`];
//! - it changes nothing that an undisturbed run does not change;
//! - AWS Config receives no evaluation that an undisturbed run does not send;
//! - at most one more page is sent;
//! - if the endpoint makes a call fail, the log or the answer names the service and the operation.

mod front;
mod misbehaviour;
mod twist;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use crate::disturbed::{Scene, config_answers};
use crate::function::{Answer, PATIENCE};
use crate::way::Way;
use front::Front;
pub use misbehaviour::Misbehaviour;
use twist::ResponseChanger;

/// The maximum memory of a function, in bytes: the template gives the smallest function 256 MB.
pub const MOST_MEMORY: u64 = 200 * 1024 * 1024;

/// The shortest time-out of an invocation.
const INVOCATION_TIME: Duration = Duration::from_secs(9);

/// The time-out of an invocation, as a multiple of an undisturbed run's time. On a loaded machine, a run with many calls
/// would otherwise run out of time at any of them, and not because of the misbehaviour.
const TIMES: u32 = 6;

/// The maximum time of a process that never requests an event. Lambda ends an init phase after 10 seconds.
const PROCESS_TIME: Duration = Duration::from_secs(10);

/// The number of concurrent cases: most of them wait.
const CONCURRENT_CASES: usize = 3;

/// The totals of all cases of a function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// The number of cases.
    pub cases: usize,
    /// The number of cases in which the endpoint was called.
    pub met: usize,
    /// The number of cases in which the invocation failed.
    pub failed: usize,
    /// The longest time of an invocation, in milliseconds.
    pub slowest_ms: u128,
    /// The maximum memory of a process, in MiB.
    pub most_memory_mib: u64,
    /// The number of cases that were not run, because the time of `cargo xtask attack` was up.
    pub left_out: usize,
}

/// The result of one run.
struct AttackOutcome {
    answer: Answer,
    log: String,
    took: Duration,
    memory: u64,
    hits: usize,
    effects: BTreeMap<String, Value>,
    evaluations: BTreeSet<(String, String)>,
    pages: usize,
    escaped: usize,
}

/// The members of a fixture's end state that are effects on resources, not the function's own state.
const EFFECTS: [&str; 6] = ["spec", "version", "orders", "acm", "AWSCURRENT", "AWSPREVIOUS"];

fn effects(end: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    end.into_iter().filter(|(name, _)| EFFECTS.contains(&name.as_str())).collect()
}

/// Runs a function with each misbehaviour. A short run, as in every commit, has each misbehaviour once, each at the
/// next service. With `ATTACK_ROUNDS`, as `cargo xtask attack` sets it, every service has every misbehaviour.
///
/// # Panics
/// Panics if one of the properties in the module documentation does not hold.
pub async fn withstand<S: Scene>(function: &str, set: impl AsyncFn(String) -> S) -> Figures {
    let full = std::env::var_os("ATTACK_ROUNDS").is_some();
    let undisturbed = set("attack-calm".to_owned()).await;
    let before = effects(undisturbed.end().await);
    let (variables, took) = called_services(&undisturbed).await;
    assert!(!variables.is_empty(), "{function} calls no service");
    let time = (took * TIMES).clamp(INVOCATION_TIME, PATIENCE);
    let undisturbed = run(&undisturbed, None, PATIENCE).await;
    undisturbed.answer.as_ref().expect("an undisturbed run succeeds");
    let all = Misbehaviour::ALL.into_iter();
    let cases: Vec<(String, Misbehaviour)> = if full {
        all.flat_map(|one| variables.iter().map(move |variable| (variable.clone(), one))).collect()
    } else {
        all.enumerate().map(|(number, one)| (variables[number % variables.len()].clone(), one)).collect()
    };
    let (set, undisturbed, before, count) = (&set, &undisturbed, &before, cases.len());
    let done: Vec<(Figures, Option<String>)> = stream::iter(cases.into_iter().enumerate())
        .map(|(number, (variable, misbehaviour))| async move {
            let service = service(&variable);
            let name = format!("{misbehaviour:?} at {service}");
            if is_time_up() {
                record(&json!({ "suite": function, "case": name, "outcome": "leftOut" }));
                return (Figures { left_out: 1, ..Figures::default() }, None);
            }
            let scene = set(format!("attack-{number}")).await;
            let outcome = run(&scene, Some((&variable, misbehaviour)), time).await;
            let wrong = problem(misbehaviour, &service, &outcome, Expected { undisturbed, before, time });
            let figures = Figures {
                cases: 1,
                met: usize::from(outcome.hits > 0),
                failed: usize::from(outcome.answer.is_err()),
                slowest_ms: outcome.took.as_millis(),
                most_memory_mib: outcome.memory / 1024 / 1024,
                left_out: 0,
            };
            println!("{function}: {name}: {figures:?}");
            record(&json!({
                "suite": function,
                "case": name,
                "outcome": if wrong.is_none() { "passed" } else { "failed" },
                "met": outcome.hits > 0,
                "invocationFailed": outcome.answer.is_err(),
                "ms": u64::try_from(figures.slowest_ms).unwrap_or(u64::MAX),
                "mib": figures.most_memory_mib,
            }));
            (figures, wrong.map(|why| format!("{name}: {why}")))
        })
        .buffer_unordered(CONCURRENT_CASES)
        .collect()
        .await;
    let wrong: Vec<&String> = done.iter().filter_map(|(_, wrong)| wrong.as_ref()).collect();
    assert!(wrong.is_empty(), "{function}: {} of {count} cases:\n{wrong:#?}", wrong.len());
    let figures = done.iter().fold(Figures::default(), |all, (one, _)| Figures {
        cases: all.cases + one.cases,
        met: all.met + one.met,
        failed: all.failed + one.failed,
        slowest_ms: all.slowest_ms.max(one.slowest_ms),
        most_memory_mib: all.most_memory_mib.max(one.most_memory_mib),
        left_out: all.left_out + one.left_out,
    });
    println!("{function} withstands {} services: {figures:?}", variables.len());
    figures
}

/// Whether the time of `cargo xtask attack` is up, which it passes in seconds since 1970.
fn is_time_up() -> bool {
    let until = std::env::var("ATTACK_UNTIL").ok().and_then(|until| until.parse::<u64>().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    until.is_some_and(|until| now >= until)
}

/// Appends a line to the file that `cargo xtask attack` reads.
fn record(line: &Value) {
    let Some(path) = std::env::var_os("ATTACK_FIGURES") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    // One write, so that the lines of other processes do not get between.
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The variables of the services that an undisturbed run calls, and of the services that can store a policy; and the time
/// of that run.
async fn called_services<S: Scene>(scene: &S) -> (Vec<String>, Duration) {
    let way = scene.way();
    let fronts: Vec<(String, Front)> = {
        let mut fronts = Vec::new();
        for (variable, address) in way.variables() {
            fronts.push((variable.clone(), Front::open(address, None).await));
        }
        fronts
    };
    let build = fronts.iter().fold(scene.build(), |build, (variable, front)| build.with(variable, front.endpoint()));
    let mut function = build.start().await;
    drop(function.answer(&scene.event()).await);
    let took = function.took().unwrap_or_default();
    let is_called = |(variable, front): &(String, Front)| {
        front.hits() > 0 || variable.ends_with("_S3") || variable.ends_with("_SSM")
    };
    scene.settle().await;
    (fronts.into_iter().filter(is_called).map(|(variable, _)| variable).collect(), took)
}

/// The SDK's name of a service in lower case, from the variable of its endpoint.
fn service(variable: &str) -> String {
    variable.trim_start_matches("AWS_ENDPOINT_URL_").replace('_', " ").to_lowercase()
}

enum AttackServer {
    Raw(Front),
    Change(ResponseChanger),
}

async fn run(scene: &impl Scene, attacked: Option<(&str, Misbehaviour)>, time: Duration) -> AttackOutcome {
    let way = scene.way();
    let mut build = scene.build().with_time(time);
    let mut server = None;
    if let Some((variable, misbehaviour)) = attacked {
        let (_, address) = way.variables().iter().find(|(known, _)| known == variable).unwrap();
        let front = if misbehaviour.changes_responses() {
            AttackServer::Change(ResponseChanger::open(address, misbehaviour).await)
        } else {
            AttackServer::Raw(Front::open(address, Some(misbehaviour)).await)
        };
        build = build.with(
            variable,
            match &front {
                AttackServer::Raw(front) => front.endpoint().to_owned(),
                AttackServer::Change(changer) => changer.endpoint().to_owned(),
            },
        );
        // The function also reads its policy from S3.
        if variable.ends_with("_S3") {
            build = build.with("MESHWARDEN_POLICY", "s3://rules/policy.yaml");
        } else if variable.ends_with("_SSM") {
            build = build.with("MESHWARDEN_POLICY", "ssm:/meshwarden/policy");
        }
        server = Some(front);
    }
    let begun = Instant::now();
    let mut function = build.start().await;
    let answer = function.answer_or_end(&scene.event()).await;
    // For a process that never requested an event, this is the time since its start.
    let took = function.took().unwrap_or_else(|| begun.elapsed());
    let memory = function.peak_memory().unwrap_or_default();
    let (hits, escaped) = match &server {
        Some(AttackServer::Raw(front)) => (front.hits(), front.escaped()),
        Some(AttackServer::Change(changer)) => (changer.hits(), 0),
        None => (0, 0),
    };
    let log = function.log();
    drop(function);
    drop(server);
    AttackOutcome {
        answer,
        log,
        took,
        memory,
        hits,
        effects: effects(scene.end().await),
        evaluations: config_answers(way),
        pages: way.pages().len(),
        escaped,
    }
}

/// The expected outcome of a case.
#[derive(Clone, Copy)]
struct Expected<'a> {
    /// The outcome of an undisturbed run.
    undisturbed: &'a AttackOutcome,
    /// The resources before any run.
    before: &'a BTreeMap<String, Value>,
    /// The time-out of an invocation.
    time: Duration,
}

/// The reason why a case fails; `None` if it passes.
fn problem(
    misbehaviour: Misbehaviour,
    service: &str,
    outcome: &AttackOutcome,
    expected: Expected<'_>,
) -> Option<String> {
    let Expected { undisturbed, before, time } = expected;
    let output = format!("{:?}\n{}", outcome.answer, outcome.log);
    if output.contains("panicked at") {
        return Some(format!("it panicked: {output}"));
    }
    let started = outcome.answer.as_ref().is_ok_and(|_| true) || outcome.answer.as_ref().is_err_and(Value::is_object);
    let most = if started { time } else { PROCESS_TIME };
    if outcome.took >= most {
        return Some(format!("it took {:?}, and the limit is {most:?}", outcome.took));
    }
    if outcome.memory > MOST_MEMORY {
        return Some(format!("it used {} MiB of memory", outcome.memory / 1024 / 1024));
    }
    for (name, found) in &outcome.effects {
        if Some(found) != before.get(name) && Some(found) != undisturbed.effects.get(name) {
            return Some(format!("{name} is {found}, neither the previous nor the expected value"));
        }
    }
    if !outcome.evaluations.is_subset(&undisturbed.evaluations) {
        return Some(format!("AWS Config received {:?} and not {:?}", outcome.evaluations, undisturbed.evaluations));
    }
    if outcome.pages > undisturbed.pages + 1 {
        return Some(format!("{} pages", outcome.pages));
    }
    if outcome.escaped > 0 {
        return Some("it followed a redirection".to_owned());
    }
    // An S3 object has no protocol: only the parser of the policy detects the error in its content.
    let is_policy = service == "s3" && output.contains("failed to load the policy");
    let named = is_policy || output.to_lowercase().contains(&format!("[{service} "));
    if outcome.hits > 0 && (misbehaviour.fails_every_call() || outcome.answer.is_err()) && !named {
        let brief: String = output.chars().take(2000).collect();
        return Some(format!("the log and the answer do not name the service and the operation: {brief}"));
    }
    None
}

/// Lets two copies of a function handle the same event at the same time. The effects must be those of two runs one
/// after the other, and nothing may be changed or reported twice.
///
/// # Panics
/// Panics if the effects differ.
pub async fn two_copies<S: Scene>(function: &str, set: impl AsyncFn(String) -> S) {
    let in_turn = set("copies-in-turn".to_owned()).await;
    for _ in 0..2 {
        in_turn.build().start().await.answer(&in_turn.event()).await.expect("an undisturbed run succeeds");
        in_turn.settle().await;
    }
    // Records of runs, such as a plan that the other copy executed, are not records of a resource.
    let records = |mut end: BTreeMap<String, Value>| {
        end.retain(|name, _| !name.starts_with(&format!("{function} ")));
        end
    };
    let expected = (
        records(in_turn.end().await),
        changes(in_turn.way()),
        in_turn.way().pages().len(),
        config_answers(in_turn.way()),
    );
    for round in 0..3 {
        let scene = set(format!("copies-{round}")).await;
        let (mut one, mut other) = (scene.build().start().await, scene.build().start().await);
        let event = scene.event();
        let (first, second) = futures::join!(one.answer(&event), other.answer(&event));
        scene.settle().await;
        // This run does the work that one of the copies left to the next run.
        let last = one.answer(&event).await;
        let log = format!("{first:?}\n{second:?}\n{last:?}\n{}\n{}", one.log(), other.log());
        assert!(!log.contains("panicked at"), "{log}");
        scene.settle().await;
        let found =
            (records(scene.end().await), changes(scene.way()), scene.way().pages().len(), config_answers(scene.way()));
        assert_eq!(found, expected, "{function}, round {round}: {log}");
    }
    println!("{function}: two concurrent copies have the effects of one: {:?}", expected.1);
}

/// The number of executions of each changing operation. Requests with the same token are one order or version, and
/// count once.
pub(crate) fn changes(way: &Way) -> BTreeMap<String, usize> {
    const CHANGES: [&str; 4] = ["ImportCertificate", "IssueCertificate", "PutSecretValue", "UpdateSecretVersionStage"];
    let mut changes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (number, passed) in way.passed().into_iter().enumerate() {
        if passed.operation.starts_with("PUT /v20190125") || CHANGES.contains(&passed.operation.as_str()) {
            let body: Value = serde_json::from_str(&passed.body).unwrap_or_default();
            let token = ["ClientRequestToken", "IdempotencyToken"].iter().find_map(|name| body[*name].as_str());
            let id = token.map_or_else(|| number.to_string(), str::to_owned);
            changes.entry(passed.operation).or_default().insert(id);
        }
    }
    changes.into_iter().map(|(operation, done)| (operation, done.len())).collect()
}
