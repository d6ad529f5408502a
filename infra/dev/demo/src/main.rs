//! The demo: failures in the mesh of a shop, and Meshwarden's reactions.
//!
//! Every scenario checks its output: unexpected weights or reasons fail the demo. `cargo xtask demo` builds and starts
//! this program. It ends its stack also after a signal.

mod audit;
mod certificates;
mod checks;
mod compliance;
mod context;
mod decision;
mod drill;
mod kiosk;
mod live_view;
mod replicas;
mod rollouts;
mod route;
mod scenarios;
mod traffic;
mod view;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use context::DemoContext;
use stack::console::{print_failure, say};
use stack::failure::Result;
use stack::interrupt;
use stack::programs::Selection;
use stack::scenario::Scenario;
use stack::workspace::Workspace;

const SCENARIOS: [Scenario; 13] = [
    Scenario::Traffic,
    Scenario::Failover,
    Scenario::Rollback,
    Scenario::Canary,
    Scenario::Drill,
    Scenario::Duplicate,
    Scenario::Standby,
    Scenario::Person,
    Scenario::CommonCause,
    Scenario::ScaleOut,
    Scenario::Compliance,
    Scenario::Certificates,
    Scenario::Replicas,
];

/// Causes failures on a separate stack, and shows how Meshwarden reacts
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Run only this scenario
    scenario: Option<Scenario>,
    /// Build the programs with the features of the test suite, which has built the libraries already when it runs the demo
    #[arg(long, hide = true)]
    with_features_of_suite: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ran = interrupt::watch().and_then(|()| run(&Workspace::find()?, &cli));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_failure(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Runs one scenario, or all of them, on a separate stack that ends with the demo.
fn run(workspace: &Workspace, cli: &Cli) -> Result<()> {
    let started = Instant::now();
    let selection = if cli.with_features_of_suite { Selection::Suite } else { Selection::Needed };
    let temporary = stack::start_temporary(workspace, "demo", selection)?;
    let set_up = started.elapsed();
    let scenarios_started = Instant::now();
    let mut context = DemoContext::new(workspace, temporary.stack)?;
    let chosen = cli.scenario.map_or_else(|| SCENARIOS.to_vec(), |scenario| vec![scenario]);
    for scenario in &chosen {
        scenarios::play(*scenario, &mut context)?;
    }
    say(format_args!(
        "\nAll scenarios ended as expected: {} of {} in {:.0} s, after {:.0} s of set-up. Nothing is left running.",
        chosen.len(),
        SCENARIOS.len(),
        scenarios_started.elapsed().as_secs_f32(),
        set_up.as_secs_f32(),
    ));
    Ok(())
}
