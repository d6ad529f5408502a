//! Builds and starts the demo, a separate program (`infra/dev/demo`).

use std::time::Duration;

use clap::ValueEnum;

use stack::command::Run;
use stack::console::step;
use stack::failure::Result;
use stack::programs::{Selection, build_one};
use stack::scenario::Scenario;
use stack::workspace::Workspace;

/// The time that the demo has after a signal to end its stack.
const GRACE: Duration = Duration::from_mins(2);

/// Runs one scenario, or all of them. A signal reaches the demo, which ends its stack before this returns.
pub(crate) fn run(workspace: &Workspace, scenario: Option<Scenario>, selection: Selection) -> Result<()> {
    let program = step("build the demo", |progress| build_one(workspace, "demo", progress))?;
    let name = scenario.and_then(|scenario| scenario.to_possible_value());
    let name = name.as_ref().map(|value| value.get_name().to_owned());
    let with_suite = (selection == Selection::Suite).then(|| "--with-features-of-suite".to_owned());
    Run::new(program, workspace.root()).args(name).args(with_suite).supervised(GRACE)
}
