//! The demo: a shop's mesh, and what becomes of it when things go wrong.
//!
//! Every scenario checks what it prints: one whose weights or reasons are not as expected fails, and the demo with it.

mod audit;
mod certificates;
mod compliance;
mod decision;
mod kiosk;
mod route;
mod scenarios;
mod scene;
mod traffic;

use std::time::Instant;

use crate::cli::Scenario;
use crate::console::say;
use crate::failure::Result;
use crate::stack;
use crate::workspace::Workspace;
use scene::Scene;

const SCENARIOS: [Scenario; 9] = [
    Scenario::Traffic,
    Scenario::Failover,
    Scenario::Duplicate,
    Scenario::Standby,
    Scenario::Person,
    Scenario::CommonCause,
    Scenario::ScaleOut,
    Scenario::Compliance,
    Scenario::Certificates,
];

/// Plays one scenario, or all of them, on a stack of its own that ends with it.
pub(crate) fn run(workspace: &Workspace, scenario: Option<Scenario>) -> Result<()> {
    let started = Instant::now();
    let borrowed = stack::borrow(workspace, "demo")?;
    let set_up = started.elapsed();
    let curtain = Instant::now();
    let mut scene = Scene::of(workspace, borrowed.stack)?;
    let chosen = scenario.map_or_else(|| SCENARIOS.to_vec(), |scenario| vec![scenario]);
    for scenario in &chosen {
        scenarios::play(*scenario, &mut scene)?;
    }
    say(format_args!(
        "\nAll scenarios ended as expected: {} of {} in {:.0} s, after {:.0} s of set-up. Nothing is left running.",
        chosen.len(),
        SCENARIOS.len(),
        curtain.elapsed().as_secs_f32(),
        set_up.as_secs_f32(),
    ));
    Ok(())
}
