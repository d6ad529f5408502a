//! The demo: failures in the mesh of a shop, and Meshwarden's reactions.
//!
//! Every scenario checks its output: unexpected weights or reasons fail the demo.

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

use std::time::Instant;

use crate::cli::Scenario;
use crate::console::say;
use crate::failure::Result;
use crate::stack;
use crate::workspace::Workspace;
use context::DemoContext;

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

/// Runs one scenario, or all of them, on a separate stack that ends with the demo.
pub(crate) fn run(workspace: &Workspace, scenario: Option<Scenario>) -> Result<()> {
    let started = Instant::now();
    let temporary = stack::start_temporary(workspace, "demo")?;
    let set_up = started.elapsed();
    let scenarios_started = Instant::now();
    let mut context = DemoContext::new(workspace, temporary.stack)?;
    let chosen = scenario.map_or_else(|| SCENARIOS.to_vec(), |scenario| vec![scenario]);
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
