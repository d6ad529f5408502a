//! The steps of CI, cheapest first.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::advisories;
use crate::demo;
use crate::deployment;
use crate::junit::{TestCounts, report_failures};
use stack::command::Run;
use stack::console::{say, step};
use stack::failure::{Failure, Result};
use stack::programs::Selection;
use stack::setup::{self, DENY, NEXTEST};
use stack::workspace::Workspace;

/// The crates that need no network and no SDK.
const PURE: [&str; 16] = [
    "--package",
    "mesh",
    "--package",
    "readers",
    "--package",
    "policy",
    "--package",
    "decisions",
    "--package",
    "rules",
    "--package",
    "ports",
    "--package",
    "ports-memory",
    "--package",
    "xds",
];

/// The function that is packaged as for AWS. One is enough to test the packaging; all of them take minutes.
const PACKED: &str = "route-failover";

/// The part of the suite that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Formatting, and the lints and tests of the pure crates.
    Fast,
    /// The steps of CI for each commit.
    Full,
    /// The tests that are too long for each commit.
    Long,
}

/// The results of the steps.
#[derive(Debug)]
struct Tally {
    /// The seed of randomised tests.
    seed: String,
    times: Vec<(&'static str, Duration)>,
    failed: Vec<&'static str>,
    counts: TestCounts,
}

/// Runs the suite. It ends at the first failing step: later, slower ones would only repeat the failure.
pub(crate) fn run(workspace: &Workspace, extent: Extent, seed: u64) -> Result<()> {
    let mut tally =
        Tally { seed: seed.to_string(), times: Vec::new(), failed: Vec::new(), counts: TestCounts::default() };
    let result = match extent {
        Extent::Fast => fast_steps(workspace, &mut tally),
        Extent::Full => all_steps(workspace, &mut tally),
        Extent::Long => long_steps(workspace, &mut tally),
    };
    tally.print();
    result
}

fn fast_steps(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    tally.step("format", || format(workspace))?;
    tally.step("lints of the pure crates", || clippy(workspace, &PURE))?;
    let nextest = setup::tool(workspace, NEXTEST)?;
    tally.tests("pure tests", workspace, &nextest, "ci", &PURE)
}

fn all_steps(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    tally.step("format", || format(workspace))?;
    tally.step("lints", || clippy(workspace, &["--workspace"]))?;
    let nextest = setup::tool(workspace, NEXTEST)?;
    tally.step("set-up", || setup::everything(workspace))?;
    tally.step("deployment files", || deployment::check(workspace))?;
    tally.step("documentation examples", || {
        Run::cargo(workspace.root()).args(["test", "--locked", "--workspace", "--doc", "--quiet"]).shown()
    })?;
    tally.tests("all tests", workspace, &nextest, "ci", &["--workspace"])?;
    tally.step("documentation", || {
        Run::cargo(workspace.root())
            .args(["doc", "--locked", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .shown()
    })?;
    tally.step("dependencies", || dependencies(workspace))?;
    tally.step("advisories", || advisories::check_where_reachable(workspace))?;
    tally.step("demo", || demo::run(workspace, None, Selection::Suite))?;
    tally.step("Lambda package", || lambda_package(workspace))
}

fn long_steps(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let nextest = setup::tool(workspace, NEXTEST)?;
    tally.step("set-up", || setup::everything(workspace))?;
    tally.tests("long tests", workspace, &nextest, "long", &["--workspace", "--run-ignored", "ignored-only"])
}

fn format(workspace: &Workspace) -> Result<()> {
    Run::cargo(workspace.root()).args(["fmt", "--all", "--check"]).shown()
}

fn clippy(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    Run::cargo(workspace.root())
        .args(["clippy", "--locked", "--all-targets"])
        .args(packages)
        .args(["--", "-D", "warnings"])
        .shown()
}

fn dependencies(workspace: &Workspace) -> Result<()> {
    let deny = setup::tool(workspace, DENY)?;
    Run::new(deny, workspace.root()).args(["--locked", "check", "bans", "licenses", "sources"]).shown()
}

/// Builds a function with cargo-lambda, as a deployment does, but for this machine and without optimisation. The demo
/// uses the programs that cargo builds, because cargo-lambda would compile every library again for another target.
fn lambda_package(workspace: &Workspace) -> Result<()> {
    let folder = workspace.local("lambda");
    step(&format!("cargo lambda build {PACKED}"), |progress| {
        Run::new(workspace.venv_program("cargo-lambda"), workspace.root())
            .args(["lambda", "build", "--compiler", "cargo", "--profile", "dev", "--locked"])
            .args(["--package", PACKED, "--bin", PACKED, "--output-format", "binary"])
            .arg_pair("--lambda-dir", &folder)
            .building(progress)
    })?;
    let program = folder.join(PACKED).join("bootstrap");
    let head = fs::read(&program).map_err(Failure::file("read", &program))?;
    if head.starts_with(b"\x7fELF") {
        return Ok(());
    }
    Err(Failure::Refused {
        what: "cargo lambda build".to_owned(),
        answer: format!("{} without a program", program.display()),
    })
}

/// The number of tests that run at once. Many wait for servers and deadlines, so there are more than processors.
fn threads() -> String {
    let processors = thread::available_parallelism().map_or(2, NonZero::get);
    (processors + processors / 2).to_string()
}

/// The variable with which cargo and nextest start each test through another program, for this machine's target.
fn runner_variable() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|source| Failure::Start { command: "rustc".to_owned(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::Refused { what: "rustc -vV".to_owned(), answer: text.clone() })?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace(['-', '.'], "_")))
}

/// The program that starts each test with empty caches, so that no test depends on the caches of this machine.
fn runner(workspace: &Workspace) -> Result<String> {
    let empty = workspace.local("empty-caches");
    if empty.exists() {
        fs::remove_dir_all(&empty).map_err(Failure::file("empty", &empty))?;
    }
    fs::create_dir_all(&empty).map_err(Failure::file("create", &empty))?;
    let empty = empty.display();
    Ok(format!("env CARGO_HOME={empty} PIP_CACHE_DIR={empty} PIP_NO_INDEX=1 CARGO_NET_OFFLINE=true"))
}

impl Tally {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        say(format_args!("\n== {name}"));
        let started = Instant::now();
        let result = work();
        self.times.push((name, started.elapsed()));
        if result.is_err() {
            self.failed.push(name);
        }
        result
    }

    fn tests(
        &mut self,
        name: &'static str,
        workspace: &Workspace,
        nextest: &Path,
        profile: &str,
        packages: &[&str],
    ) -> Result<()> {
        let junit = junit_file(workspace, profile);
        fs::remove_file(&junit).ok();
        let seed = self.seed.clone();
        let (variable, runner) = (runner_variable()?, runner(workspace)?);
        let result = self.step(name, || {
            Run::new(nextest, workspace.root())
                .args(["nextest", "run", "--locked", "--no-tests", "pass", "--profile", profile])
                .args(["--test-threads", &threads()])
                .args(packages)
                .env("PROPTEST_RNG_SEED", &seed)
                .env("BOLERO_RANDOM_SEED", &seed)
                .env(&variable, &runner)
                .shown()
        });
        let report = fs::read_to_string(&junit).unwrap_or_default();
        report_failures(&report, &workspace.local("logs/tests"))?;
        if let Some(counts) = TestCounts::from_junit(&report) {
            self.counts = counts;
        }
        match (&result, self.counts.passed) {
            // The long profile may have no tests yet; the others always have some.
            (Ok(()), 0) if profile != "long" => {
                Err(Failure::Refused { what: name.to_owned(), answer: "that no test was run".to_owned() })
            }
            _ => result,
        }
    }

    fn print(&self) {
        say("");
        for (name, time) in &self.times {
            let verdict = if self.failed.contains(name) { "FAILED" } else { "ok" };
            say(format_args!("  {name:<26} {:>7.1} s  {verdict}", time.as_secs_f32()));
        }
        let total: Duration = self.times.iter().map(|(_, time)| *time).sum();
        say(format_args!("  {:<26} {:>7.1} s", "in all", total.as_secs_f32()));
        say(format_args!("{} passed, {} failed", self.counts.passed, self.counts.failed));
    }
}

/// nextest writes it below the root, for any target folder of cargo.
pub(crate) fn junit_file(workspace: &Workspace, profile: &str) -> PathBuf {
    workspace.file("target/nextest").join(profile).join("junit.xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runner_is_set_for_this_machine() {
        let variable = runner_variable().unwrap();
        assert!(variable.starts_with("CARGO_TARGET_") && variable.ends_with("_RUNNER"), "{variable}");
        assert!(!variable.contains('-'), "{variable}");
    }
}
