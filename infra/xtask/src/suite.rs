//! Everything that CI runs, cheapest first.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::command::Run;
use crate::console::{say, step};
use crate::demo;
use crate::failure::{Failure, Result};
use crate::setup::{self, DENY, NEXTEST};
use crate::workspace::Workspace;

/// The crates that need no network and no SDK.
const PURE: [&str; 6] = ["--package", "mesh", "--package", "ports", "--package", "xds"];

/// The seed of random inputs, where nobody gives another one.
pub(crate) const SEED: u64 = 1;

/// What the steps came to.
#[derive(Debug)]
struct Tally {
    /// Of the tests over random inputs.
    seed: String,
    times: Vec<(&'static str, Duration)>,
    failed: Vec<&'static str>,
    counts: Counts,
}

/// Tests by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u32,
    failed: u32,
}

/// Runs the suite; a step that fails ends it, since a dearer one would only repeat what it says.
pub(crate) fn run(workspace: &Workspace, fast: bool, seed: u64) -> Result<()> {
    let mut tally = Tally { seed: seed.to_string(), times: Vec::new(), failed: Vec::new(), counts: Counts::default() };
    let result = if fast { fast_steps(workspace, &mut tally) } else { all_steps(workspace, &mut tally) };
    tally.print();
    result
}

fn fast_steps(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    tally.step("format", || format(workspace))?;
    tally.step("lints of the pure crates", || clippy(workspace, &PURE))?;
    let nextest = setup::tool(workspace, NEXTEST)?;
    tally.tests("pure tests", workspace, &nextest, &PURE)
}

fn all_steps(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    tally.step("format", || format(workspace))?;
    tally.step("lints", || clippy(workspace, &["--workspace"]))?;
    let nextest = setup::tool(workspace, NEXTEST)?;
    tally.step("set-up", || setup::everything(workspace))?;
    tally.step("template", || template(workspace))?;
    tally.step("documentation examples", || {
        Run::cargo(workspace.root()).args(["test", "--locked", "--workspace", "--doc", "--quiet"]).shown()
    })?;
    tally.tests("all tests", workspace, &nextest, &["--workspace"])?;
    tally.step("documentation", || {
        Run::cargo(workspace.root())
            .args(["doc", "--locked", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .shown()
    })?;
    tally.step("dependencies", || dependencies(workspace))?;
    tally.step("demo", || demo::run(workspace, None))
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

fn template(workspace: &Workspace) -> Result<()> {
    step("cfn-lint infra/template.yaml", |progress| {
        Run::new(workspace.venv_program("cfn-lint"), workspace.root()).args(["infra/template.yaml"]).condensed(progress)
    })?;
    Ok(())
}

/// Advisories are left out: they need a database that changes by the day, so they would fail a commit that nobody
/// touched, and can't be had without a network. `cargo deny check advisories` looks them up.
fn dependencies(workspace: &Workspace) -> Result<()> {
    let deny = setup::tool(workspace, DENY)?;
    Run::new(deny, workspace.root()).args(["--locked", "check", "bans", "licenses", "sources"]).shown()
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

    fn tests(&mut self, name: &'static str, workspace: &Workspace, nextest: &Path, packages: &[&str]) -> Result<()> {
        // Below the root whatever cargo's target folder is.
        let junit = workspace.file("target/nextest/ci/junit.xml");
        fs::remove_file(&junit).ok();
        let seed = self.seed.clone();
        let result = self.step(name, || {
            Run::new(nextest, workspace.root())
                .args(["nextest", "run", "--locked", "--profile", "ci"])
                .args(packages)
                .env("PROPTEST_RNG_SEED", &seed)
                .env("BOLERO_RANDOM_SEED", &seed)
                .shown()
        });
        if let Some(counts) = fs::read_to_string(&junit).ok().as_deref().and_then(Counts::of_junit) {
            self.counts = counts;
        }
        match (&result, self.counts.passed) {
            (Ok(()), 0) => Err(Failure::Refused { what: name.to_owned(), answer: "that no test was run".to_owned() }),
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

impl Counts {
    /// Reads the attributes of the outermost element.
    fn of_junit(xml: &str) -> Option<Self> {
        let (_, rest) = xml.split_once("<testsuites ")?;
        let (attributes, _) = rest.split_once('>')?;
        let number = |name: &str| -> Option<u32> {
            let (_, rest) = attributes.split_once(&format!("{name}=\""))?;
            rest.split_once('"')?.0.parse().ok()
        };
        let failed = number("failures")? + number("errors")?;
        Some(Self { passed: number("tests")?.checked_sub(failed)?, failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_is_counted() {
        let xml = r#"<?xml version="1.0"?><testsuites name="run" tests="12" failures="2" errors="1" uuid="x">"#;
        assert_eq!(Counts::of_junit(xml), Some(Counts { passed: 9, failed: 3 }));
        assert_eq!(Counts::of_junit("<html>"), None);
    }
}
