//! Builds the measured programs like the deployed ones, and measures them.

use std::path::PathBuf;

use clap::ValueEnum as _;

use crate::cli::Part;
use stack::command::Run;
use stack::console::say;
use stack::failure::Result;
use stack::setup;
use stack::workspace::Workspace;

/// The profile of deployed functions.
const PROFILE: &str = "lambda";

/// Builds and runs the crate `bench`, or one part.
pub(crate) fn run(workspace: &Workspace, part: Option<Part>) -> Result<()> {
    if part == Some(Part::Replicas) {
        setup::python(workspace)?;
        build(workspace, &["--package", "bench", "--package", "control-plane", "--bins"])?;
        return Run::new(program(workspace, "bench"), workspace.root())
            .args(["replicas"])
            .args([
                program(workspace, "control-plane"),
                workspace.venv_program("envoy"),
                workspace.venv_program("python"),
            ])
            .args([workspace.file("infra/dev/local/ministack_server.py")])
            .shown();
    }
    if let Some(part) = part {
        build(workspace, &["--package", "bench", "--bin", "bench"])?;
        let name = part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        return Run::new(program(workspace, "bench"), workspace.root()).args([name]).shown();
    }
    setup::python(workspace)?;
    build(workspace, &["--package", "bench", "--package", "route-failover", "--package", "control-plane", "--bins"])?;
    let programs = ["echo", "sdk-echo", "route-failover", "control-plane"].map(|name| program(workspace, name));
    Run::new(program(workspace, "bench"), workspace.root())
        .args(programs)
        .args([workspace.venv_program("envoy")])
        .shown()
}

fn build(workspace: &Workspace, what: &[&str]) -> Result<()> {
    say("Building as for AWS, which takes some minutes the first time.");
    Run::cargo(workspace.root()).args(["build", "--locked", "--profile", PROFILE]).args(what).shown()
}

fn program(workspace: &Workspace, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.file("target"), PathBuf::from);
    target.join(PROFILE).join(name)
}
