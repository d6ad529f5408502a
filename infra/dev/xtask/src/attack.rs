//! The attack suites, at a multiple of the size that every commit runs. For the control plane: floods of connections and
//! bodies, malformed requests, mutated specs, killed processes and full disks. For the functions: endpoints of AWS that
//! misbehave, one at a time, and two copies of a function at once. They use loopback only, and remove their folders.
//!
//! ```text
//! nextest (build) ─▶ nextest (control plane, 1x, 3x, 10x) ─▶ nextest (functions) ─▶ table, exit code
//!                                     └── figures.jsonl ◀────────────┘ also read for the progress
//! ```
//!
//! Every part runs even if an earlier one failed, and each ends within its time limit. A case that does not fit into the
//! limit is a failure: it was not withstood.

mod figures;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cli::Attacked;
use crate::command::Run;
use crate::console::say;
use crate::failure::{Failure, Result};
use crate::junit;
use crate::setup::{self, NEXTEST};
use crate::suite::junit_file;
use crate::workspace::Workspace;
use figures::Figures;

/// The time limit of the control plane's part, after the build.
const CONTROL_PLANE_LIMIT: Duration = Duration::from_mins(10);

/// The time limit of the functions' part, after the build. No case is started later; those under way end
/// within a minute.
const FUNCTIONS_LIMIT: Duration = Duration::from_mins(20);

/// The time that the cases under way need at most.
const GRACE: Duration = Duration::from_mins(1);

/// The factors of the suite's size. A round starts only if it probably fits into the time limit.
const ROUNDS: [u32; 3] = [1, 3, 10];

/// The interval of progress lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(20);

/// The tests that run at once: those of the functions mostly wait for endpoints that do not answer.
const CONTROL_PLANE_THREADS: &str = "2";
const FUNCTIONS_THREADS: &str = "4";

/// The tests of the functions' part.
const FUNCTION_TESTS: &str = "binary(attack) | (binary(binary) & test(attack::))";

/// One run of the command.
struct Attack<'a> {
    workspace: &'a Workspace,
    nextest: PathBuf,
    /// The file to which the tests append a line for each case and figure.
    figures: PathBuf,
    rounds: Vec<(u32, String)>,
    failed: Vec<String>,
}

/// Runs one part, or both; `function` selects one function of that part.
pub(crate) fn run(workspace: &Workspace, attacked: Option<Attacked>, function: Option<&str>) -> Result<()> {
    let functions = selected(workspace.functions()?, function)?;
    if function.is_some() && attacked == Some(Attacked::ControlPlane) {
        let expected = "--function selects a function of the part `functions`".to_owned();
        return Err(Failure::Unexpected { expected, seen: "the part is `control-plane`".to_owned() });
    }
    let parts = match attacked {
        Some(one) => vec![one],
        None if function.is_some() => vec![Attacked::Functions],
        None => vec![Attacked::ControlPlane, Attacked::Functions],
    };
    let nextest = setup::tool(workspace, NEXTEST)?;
    let figures = workspace.local("attack/figures.jsonl");
    let folder = workspace.local("attack");
    fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    fs::write(&figures, "").map_err(Failure::file("write", &figures))?;
    let mut attack = Attack { workspace, nextest, figures, rounds: Vec::new(), failed: Vec::new() };
    let limit: Duration = parts.iter().map(|part| time_limit(*part)).sum();
    say(format!("The attack takes at most {} minutes after the build.", limit.as_secs().div_ceil(60)));
    for part in &parts {
        attack.build(*part, &functions)?;
    }
    let begun = Instant::now();
    for part in &parts {
        let (name, done) = match part {
            Attacked::ControlPlane => ("control plane", attack.control_plane()),
            Attacked::Functions => ("functions", attack.functions(&functions)),
        };
        match done {
            Ok(()) => {}
            Err(Failure::Interrupted) => return done,
            // The other part runs all the same.
            Err(failure) => attack.failed.push(format!("{name}: {failure}")),
        }
    }
    attack.end(begun.elapsed())
}

/// The time limit of a part with the cases that are under way at its end.
fn time_limit(part: Attacked) -> Duration {
    match part {
        Attacked::ControlPlane => CONTROL_PLANE_LIMIT,
        Attacked::Functions => FUNCTIONS_LIMIT + GRACE,
    }
}

/// All functions, or the one with this name.
fn selected(functions: Vec<String>, function: Option<&str>) -> Result<Vec<String>> {
    let Some(name) = function else { return Ok(functions) };
    if functions.iter().any(|known| known == name) {
        return Ok(vec![name.to_owned()]);
    }
    let expected = format!("--function is one of {}", functions.join(", "));
    Err(Failure::Unexpected { expected, seen: format!("it is {name}") })
}

impl Attack<'_> {
    fn nextest(&self, part: Attacked, functions: &[String]) -> Run {
        let run = Run::new(&self.nextest, self.workspace.root());
        let run = run.args(["nextest", "run", "--locked", "--profile", "long"]).env("ATTACK_FIGURES", &self.figures);
        match part {
            Attacked::ControlPlane => run.args(["--package", "control-plane", "--test", "attack"]),
            Attacked::Functions => {
                let packages = functions.iter().flat_map(|function| ["--package", function.as_str()]);
                run.args(packages).args(["--filterset", FUNCTION_TESTS])
            }
        }
    }

    fn build(&self, part: Attacked, functions: &[String]) -> Result<()> {
        if part == Attacked::Functions {
            setup::python(self.workspace)?;
        }
        self.nextest(part, functions).args(["--no-run"]).shown()
    }

    /// Runs the tests of a part within a time limit, and prints the beginning of each failing test's output.
    fn tests(&self, name: &str, threads: &str, run: Run, limit: Duration) -> Result<()> {
        let junit = junit_file(self.workspace, "long");
        fs::remove_file(&junit).ok();
        let watch = Watch::start(&self.figures);
        let result = run.args(["--no-fail-fast", "--test-threads", threads]).within(limit).shown();
        drop(watch);
        let report = fs::read_to_string(&junit).unwrap_or_default();
        junit::report_failures(&report, &self.workspace.local("logs/attack").join(name))?;
        result
    }

    /// Runs the control plane's suite at growing sizes, until its time limit.
    fn control_plane(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut last = Duration::ZERO;
        for rounds in ROUNDS {
            let left = CONTROL_PLANE_LIMIT.saturating_sub(begun.elapsed());
            // The time of a round grows at most linearly with its size.
            if last.saturating_mul(4) > left {
                self.rounds.push((rounds, "left out: it would exceed ten minutes".to_owned()));
                continue;
            }
            say(format!("\n== control plane, {rounds} times the size of every commit's tests"));
            let run = self.nextest(Attacked::ControlPlane, &[]).env("ATTACK_ROUNDS", rounds.to_string());
            let round = Instant::now();
            let result = self.tests(&format!("control-plane-{rounds}x"), CONTROL_PLANE_THREADS, run, left);
            last = round.elapsed();
            let verdict = if result.is_ok() { "withstood in" } else { "FAILED after" };
            self.rounds.push((rounds, format!("{verdict} {} s", last.as_secs())));
            // A larger round would repeat the failure.
            result?;
        }
        Ok(())
    }

    /// Has every service of every function misbehave in every way.
    fn functions(&self, functions: &[String]) -> Result<()> {
        say(format!("\n== functions: {}", functions.join(", ")));
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + FUNCTIONS_LIMIT;
        let run = self.nextest(Attacked::Functions, functions);
        let run = run.env("ATTACK_ROUNDS", "1").env("ATTACK_UNTIL", until.as_secs().to_string());
        self.tests("functions", FUNCTIONS_THREADS, run, FUNCTIONS_LIMIT + GRACE)
    }

    /// Prints the table of figures, and fails if a part did.
    fn end(mut self, took: Duration) -> Result<()> {
        let figures = Figures::read(&self.figures)?;
        say(format!("\n{}", figures.table(&self.rounds)));
        say(format!("The attack took {} minutes.", took.as_secs().div_ceil(60)));
        self.failed.extend(figures.failures());
        if self.failed.is_empty() {
            return Ok(());
        }
        Err(Failure::NotWithstood { failed: self.failed })
    }
}

/// Prints the number of finished cases at intervals, until it is dropped.
struct Watch {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(figures: &Path) -> Self {
        let (is_over, figures) = (Arc::<AtomicBool>::default(), figures.to_owned());
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let (begun, mut shown) = (Instant::now(), Instant::now());
            while !over.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(200));
                if shown.elapsed() >= PROGRESS_INTERVAL {
                    shown = Instant::now();
                    // The file is complete up to its last line.
                    if let Ok(figures) = Figures::read(&figures) {
                        say(format!("  {} s: {}", begun.elapsed().as_secs(), figures.progress()));
                    }
                }
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_function_is_selected_by_its_name() {
        let all = Workspace::find().unwrap().functions().unwrap();
        assert!(all.contains(&"traffic-shift".to_owned()), "{all:?}");
        assert_eq!(selected(all.clone(), None).unwrap(), all);
        assert_eq!(selected(all.clone(), Some("change-audit")).unwrap(), ["change-audit"]);
        assert!(selected(all, Some("audit")).unwrap_err().to_string().contains("change-audit"));
    }
}
