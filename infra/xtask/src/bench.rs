//! Builds what is measured as it is built for AWS, and measures it.

use std::path::PathBuf;

use crate::command::Run;
use crate::console::say;
use crate::failure::Result;
use crate::setup;
use crate::workspace::Workspace;

/// The profile that functions are deployed with.
const PROFILE: &str = "lambda";

/// Builds and runs the crate `bench`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::python(workspace)?;
    say("Building as for AWS, which takes some minutes the first time.");
    Run::cargo(workspace.root())
        .args(["build", "--locked", "--profile", PROFILE])
        .args(["--package", "bench", "--package", "route-failover", "--package", "control-plane", "--bins"])
        .shown()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.file("target"), PathBuf::from);
    let program = |name: &str| target.join(PROFILE).join(name);
    Run::new(program("bench"), workspace.root())
        .args([program("echo"), program("sdk-echo"), program("route-failover"), program("control-plane")])
        .args([workspace.venv_program("envoy")])
        .shown()
}
