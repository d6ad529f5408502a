//! The attack suites, at a multiple of the size that every commit runs. For the control plane: floods of connections and
//! bodies, malformed requests, mutated specs, killed processes and full disks. For the functions: endpoints of AWS that
//! misbehave, one at a time, and two copies of a function at once. They use loopback only, and remove their folders.

use std::time::{Duration, Instant};

use crate::cli::Attacked;
use crate::command::Run;
use crate::console::say;
use crate::failure::{Failure, Result};
use crate::setup::{self, NEXTEST};
use crate::workspace::Workspace;

/// The time limit of all rounds, after the build.
const BUDGET: Duration = Duration::from_mins(10);

/// The factors of the suite's size. A round starts only if it probably fits into the time limit.
const ROUNDS: [u32; 3] = [1, 3, 10];

/// The functions, each a crate with a separate suite.
const FUNCTIONS: [&str; 6] = [
    "certificate-rotation",
    "change-audit",
    "compliance-sweep",
    "egress-compliance",
    "route-failover",
    "tag-compliance",
];

/// Runs one suite, or both.
pub(crate) fn run(workspace: &Workspace, attacked: Option<Attacked>) -> Result<()> {
    match attacked {
        Some(Attacked::ControlPlane) => control_plane(workspace),
        Some(Attacked::Functions) => functions(workspace),
        None => {
            control_plane(workspace)?;
            functions(workspace)
        }
    }
}

/// Has every service of every function misbehave in every way.
fn functions(workspace: &Workspace) -> Result<()> {
    setup::python(workspace)?;
    let nextest = setup::tool(workspace, NEXTEST)?;
    let packages = FUNCTIONS.iter().flat_map(|function| ["--package", function]);
    Run::new(&nextest, workspace.root())
        .args(["nextest", "run", "--locked", "--profile", "long", "--no-fail-fast", "--success-output", "final"])
        .args(["--test-threads", "2", "--filterset", "binary(attack) | (binary(binary) & test(attack::))"])
        .args(packages)
        .env("ATTACK_ROUNDS", "1")
        .shown()
}

/// Runs the control plane's suite until its time limit.
fn control_plane(workspace: &Workspace) -> Result<()> {
    let nextest = setup::tool(workspace, NEXTEST)?;
    let suite = |arguments: &[&str]| {
        Run::new(&nextest, workspace.root())
            .args(["nextest", "run", "--locked", "--profile", "long", "--package", "control-plane", "--test", "attack"])
            .args(arguments.iter().copied())
    };
    suite(&["--no-run"]).shown()?;
    let begun = Instant::now();
    let mut last = Duration::ZERO;
    let mut table = String::new();
    for rounds in ROUNDS {
        let left = BUDGET.saturating_sub(begun.elapsed());
        // The time of a round grows at most linearly with its size.
        if last.saturating_mul(4) > left {
            table.push_str(&format_row(rounds, "left out: it would exceed ten minutes"));
            continue;
        }
        let round = Instant::now();
        suite(&["--no-fail-fast", "--success-output", "final", "--test-threads", "2"])
            .env("ATTACK_ROUNDS", rounds.to_string())
            .shown()
            .map_err(|failure| report(failure, rounds))?;
        last = round.elapsed();
        table.push_str(&format_row(rounds, &format!("withstood in {} s", last.as_secs())));
    }
    say("");
    say(format!("Attack suite, by size:\n{table}"));
    Ok(())
}

fn format_row(rounds: u32, outcome: &str) -> String {
    format!("  {rounds:>2} x  {outcome}\n")
}

fn report(failure: Failure, rounds: u32) -> Failure {
    say(format!("The attack suite failed at {rounds} times its size: ATTACK_ROUNDS={rounds} repeats it."));
    failure
}
