//! The attack suite of the control plane, at a multiple of the size that every commit runs: floods of connections and
//! bodies, malformed requests, mutated specs, killed processes and full disks. All of it stays on loopback and in folders
//! that end with it.

use std::time::{Duration, Instant};

use crate::command::Run;
use crate::console::say;
use crate::failure::{Failure, Result};
use crate::setup::{self, NEXTEST};
use crate::workspace::Workspace;

/// How long all rounds may take, after the build.
const BUDGET: Duration = Duration::from_mins(10);

/// What each round multiplies the suite's size by. A round begins only if it can be expected to fit into the budget.
const ROUNDS: [u32; 3] = [1, 3, 10];

/// Runs the suite until its budget is used up.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
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
        // A larger round takes at most as many times longer as it is larger.
        if last.saturating_mul(4) > left {
            table.push_str(&format_row(rounds, "left out: it would exceed ten minutes"));
            continue;
        }
        let round = Instant::now();
        suite(&["--no-fail-fast", "--success-output", "final", "--test-threads", "2"])
            .env("ATTACK_ROUNDS", rounds.to_string())
            .shown()
            .map_err(|failure| told(failure, rounds))?;
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

fn told(failure: Failure, rounds: u32) -> Failure {
    say(format!("The attack suite failed at {rounds} times its size: ATTACK_ROUNDS={rounds} repeats it."));
    failure
}
