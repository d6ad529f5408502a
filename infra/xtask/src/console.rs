//! What a person sees: steps with their times, and plain lines.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// Without a terminal, how long a step may go on before another line shows that it does.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Prints a line.
#[expect(clippy::print_stdout, reason = "this program speaks to people on its standard output")]
pub(crate) fn say(line: impl Display) {
    println!("{line}");
}

/// Prints why the task stopped.
#[expect(clippy::print_stderr, reason = "this program speaks to people on its standard error")]
pub(crate) fn complain(failure: &Failure) {
    eprintln!("\nxtask: {failure}");
}

/// Runs `work` as a step that is named with the time it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce(&mut Progress) -> Result<T>) -> Result<T> {
    let mut progress = Progress::of(name);
    progress.draw("");
    let result = work(&mut progress);
    progress.close(if result.is_ok() { "" } else { "failed" });
    result
}

/// A step under way: one line on a terminal, which changes; a line now and then elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    name: String,
    started: Instant,
    drawn: Instant,
    terminal: bool,
}

impl Progress {
    fn of(name: &str) -> Self {
        let now = Instant::now();
        Self { name: name.to_owned(), started: now, drawn: now, terminal: std::io::stdout().is_terminal() }
    }

    /// Shows what the step is at.
    pub(crate) fn at(&mut self, what: &str) {
        let pause = if self.terminal { Duration::from_millis(100) } else { SIGN_OF_LIFE };
        if self.drawn.elapsed() >= pause {
            self.draw(what);
        }
    }

    fn draw(&mut self, what: &str) {
        self.drawn = Instant::now();
        let short: String = what.chars().take(60).collect();
        let seconds = self.started.elapsed().as_secs();
        if self.terminal {
            put(&format!("\r\x1b[K  {} ... {seconds} s  {short}", self.name));
        } else if !short.is_empty() {
            put(&format!("  {} ... {seconds} s  {short}\n", self.name));
        }
    }

    fn close(&self, verdict: &str) {
        let seconds = self.started.elapsed().as_secs_f32();
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        put(&format!("{start}  {:<44} {seconds:>6.1} s  {verdict}\n", self.name));
    }
}

#[expect(clippy::print_stdout, reason = "this program speaks to people on its standard output")]
fn put(text: &str) {
    print!("{text}");
    // A closed pipe is the reader's choice; the task goes on.
    std::io::stdout().flush().ok();
}
