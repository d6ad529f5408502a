//! Compares the role of a function with the calls that the function makes, and denies each permission in turn.
//!
//! ```text
//! infra/template.yaml ──▶ role: actions, resources, conditions ─┐
//!                                                               ├─▶ each action has a call, each call has its action
//! scenarios ──▶ the built function ──▶ the relay: its requests ─┘
//!
//! for each action: the same scenario with it denied ──▶ the log's metrics ──▶ the alarm `FUNCTION-permissions` is on
//! ```

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use serde_json::Value;

use crate::alarms;
use crate::function::{Answer, Build, Function};
use crate::iam::{self, Need};
use crate::template::{Grant, Template};
use crate::way::Way;

/// A test fixture in which a function makes calls that need some of its permissions.
pub trait Scenario {
    /// The relay between the function and the services.
    fn way(&self) -> &Way;
    /// Makes the function do its work. A call may be denied, so the answers may be errors.
    fn play(&self, player: &mut Player) -> impl Future<Output = ()>;
}

/// Invokes a function as Lambda does: an ended process is replaced for the next event.
#[derive(Debug)]
pub struct Player {
    build: Build,
    function: Option<Function>,
    log: String,
    errors: usize,
}

impl Player {
    /// Creates a player of this function; the first event starts a process.
    #[must_use]
    pub const fn new(build: Build) -> Self {
        Self { build, function: None, log: String::new(), errors: 0 }
    }

    /// Invokes the function with an event.
    pub async fn invoke(&mut self, event: &Value) -> Answer {
        if self.function.is_none() {
            self.function = Some(self.build.start().await);
        }
        let Some(function) = &mut self.function else { unreachable!("it was just started") };
        let answer = function.answer_or_end(event).await;
        if answer.is_err() {
            self.errors += 1;
        }
        if answer.as_ref().is_err_and(Value::is_string) {
            self.restart();
        }
        answer
    }

    /// Makes the next event start another process.
    pub fn restart(&mut self) {
        if let Some(function) = self.function.take() {
            self.log.push_str(&function.log());
        }
    }

    /// The whole log, and the number of failed invocations.
    fn ended(mut self) -> (String, usize) {
        self.restart();
        (self.log, self.errors)
    }
}

/// An action of a role that no scenario needs, and the reason why the role has it.
pub type Exempt<'a> = (&'a str, &'a str);

/// The number of concurrent cases: processes wait for each other's answers most of the time.
const AT_A_TIME: usize = 3;

/// Checks the role of a function. `set` creates the fixture of a scenario and the build of the function. Its arguments
/// are the scenario's name and a unique name of the case.
///
/// # Panics
/// Panics if a needed action is not in the role, or an action in the role is not needed. Panics if the denial of an
/// action sets off no alarm.
pub async fn check<S: Scenario>(
    function: &str,
    scenarios: &[&'static str],
    set: impl AsyncFn(&'static str, String) -> (S, Build),
    exempt: &[Exempt<'_>],
) {
    let template = Template::read();
    let (role, alarms) = (template.role(function), template.alarms(function));
    let alarm = format!("{function}-permissions");
    let (mut needed_by, mut wrong) = (BTreeMap::<String, &'static str>::new(), Vec::new());
    for scenario in scenarios.iter().copied() {
        let (world, build) = set(scenario, format!("calm-{scenario}")).await;
        let mut player = Player::new(build);
        world.play(&mut player).await;
        let (log, errors) = player.ended();
        if alarms::on(&alarms, &log, errors).contains(&alarm) {
            wrong.push(format!("{scenario}: `{alarm}` is in ALARM although no call is denied: {}", denials(&log)));
        }
        let needs: BTreeSet<Need> = world.way().passed().into_iter().flat_map(|passed| passed.needs).collect();
        wrong.extend(needs.iter().filter_map(|need| Some(format!("{scenario}: {}", iam::lacks(&role, need)?))));
        for need in needs {
            needed_by.entry(need.action).or_insert(scenario);
        }
    }
    wrong.extend(unneeded(&role, &needed_by, exempt));
    assert!(wrong.is_empty(), "{function}:\n{}", wrong.join("\n"));

    let cases: Vec<(usize, &String, &'static str)> =
        needed_by.iter().enumerate().map(|(number, (action, scenario))| (number, action, *scenario)).collect();
    let (count, set, alarms, alarm) = (cases.len(), &set, &alarms, &alarm);
    let wrong: Vec<String> = stream::iter(cases)
        .map(|(number, action, scenario)| async move {
            let (world, build) = set(scenario, format!("denied-{number}")).await;
            world.way().deny(action);
            let mut player = Player::new(build);
            world.play(&mut player).await;
            let (log, errors) = player.ended();
            let on = alarms::on(alarms, &log, errors);
            let met = world.way().happened().len();
            println!("{action}: denied {met} times in `{scenario}`; alarms: {on:?}");
            (met == 0 || !on.contains(alarm))
                .then(|| format!("{action}, denied {met} times in `{scenario}`, sets off {on:?}: {}", denials(&log)))
        })
        .buffer_unordered(AT_A_TIME)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} of {count} actions of {function}:\n{}", wrong.len(), wrong.join("\n"));
    println!("{function}: {count} actions, each denied in turn, set off `{alarm}`; {} more are exempt", exempt.len());
}

/// The actions in a role that no scenario needs.
fn unneeded(role: &[Grant], needed_by: &BTreeMap<String, &str>, exempt: &[Exempt<'_>]) -> Vec<String> {
    let granted: BTreeSet<&str> = role.iter().filter(|grant| grant.allows).map(|grant| grant.action.as_str()).collect();
    let is_exempt = |action: &str| exempt.iter().any(|(known, _)| *known == action);
    let wildcards = granted.iter().filter(|action| action.contains('*'));
    let wildcards = wildcards.map(|action| format!("{action}: replace the wildcard by the needed actions"));
    let unused = granted.iter().filter(|action| !needed_by.contains_key(**action) && !is_exempt(action));
    let unused = unused.filter(|action| !action.contains('*'));
    let unused = unused.map(|action| format!("{action} is in the role, but no scenario needs it"));
    let stale = exempt.iter().filter(|(action, _)| needed_by.contains_key(*action) || !granted.contains(action));
    let stale = stale.map(|(action, _)| format!("{action} is exempt, but a scenario needs it or the role lacks it"));
    wildcards.chain(unused).chain(stale).collect()
}

/// The first lines of a log that report a denied call.
fn denials(log: &str) -> String {
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("denied") || line.contains("failed to start")).collect();
    lines.iter().take(3).map(|line| line.chars().take(400).collect::<String>()).collect::<Vec<_>>().join("\n  ")
}
