//! Output on the terminal: steps with their durations, and plain lines.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::interrupt;

/// Without a terminal, the interval of lines that show that a step still runs.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(20);

/// The number of built units from which the remaining time is estimated.
const MIN_COUNT: u32 = 20;

/// Prints a line.
#[expect(clippy::print_stdout, reason = "this program reports to people on its standard output")]
pub fn say(line: impl Display) {
    println!("{line}");
}

/// Prints the reason why the task stopped.
#[expect(clippy::print_stderr, reason = "this program reports to people on its standard error")]
pub fn print_failure(failure: &Failure) {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(Path::file_stem).unwrap_or_default();
    eprintln!("\n{}: {failure}", name.display());
}

/// Runs `work` as a step. Prints the name and the duration of the step.
pub fn step<T>(name: &str, work: impl FnOnce(&mut Progress) -> Result<T>) -> Result<T> {
    let mut progress = Progress::new(name, OutputMode::for_stdout());
    progress.draw("");
    let result = work(&mut progress);
    progress.close(if result.is_ok() { "" } else { "failed" });
    result
}

/// A step that runs while others are shown. It is reported when it is waited for.
#[derive(Debug)]
pub struct Background<T> {
    thread: Option<JoinHandle<(Result<T>, Progress)>>,
}

/// Starts a step in the background.
pub fn background<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&mut Progress) -> Result<T> + Send + 'static,
) -> Background<T> {
    let mut progress = Progress::new(name, OutputMode::Never);
    let thread = thread::spawn(move || {
        let result = work(&mut progress);
        progress.stop();
        (result, progress)
    });
    Background { thread: Some(thread) }
}

impl<T> Background<T> {
    /// Waits until the step is done, and reports it.
    pub fn finish(mut self) -> Result<T> {
        let Some(thread) = self.thread.take() else { return Err(Failure::Interrupted) };
        if !thread.is_finished() {
            say("  waiting for steps in the background");
        }
        let (result, progress) = thread.join().map_err(|_| Failure::Interrupted)?;
        progress.close(if result.is_ok() { "(in the background)" } else { "failed" });
        result
    }
}

impl<T> Drop for Background<T> {
    /// The task has failed elsewhere, so the processes of the step are ended.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            interrupt::abandon();
            thread.join().ok();
        }
    }
}

/// The output of the progress of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutputMode {
    /// One line that is updated.
    Terminal,
    /// A line at intervals.
    Lines,
    /// Only the result.
    Never,
}

impl OutputMode {
    fn for_stdout() -> Self {
        if std::io::stdout().is_terminal() { Self::Terminal } else { Self::Lines }
    }
}

/// A step in progress.
#[derive(Debug)]
pub struct Progress {
    name: String,
    started: Instant,
    drawn: Instant,
    shown: OutputMode,
    last: String,
    /// The time of a build's first count, and the number of units built then.
    counted: Option<(Instant, u32)>,
    took: Option<Duration>,
}

impl Progress {
    fn new(name: &str, shown: OutputMode) -> Self {
        let now = Instant::now();
        let name = name.to_owned();
        Self { name, started: now, drawn: now, shown, last: String::new(), counted: None, took: None }
    }

    /// Shows the current activity of the step.
    pub fn at(&mut self, what: &str) {
        // While a build counts units, the name of the current unit is not shown.
        if self.counted.is_none() {
            what.clone_into(&mut self.last);
        }
        self.again();
    }

    /// Shows the last activity again, with the updated time.
    pub fn again(&mut self) {
        let pause = match self.shown {
            OutputMode::Terminal => Duration::from_millis(100),
            OutputMode::Lines => PROGRESS_INTERVAL,
            OutputMode::Never => return,
        };
        if self.drawn.elapsed() >= pause {
            let last = std::mem::take(&mut self.last);
            self.draw(&last);
            self.last = last;
        }
    }

    /// Shows the number of built units, and the remaining time.
    pub fn count(&mut self, done: u32, total: u32) {
        let (since, first) = *self.counted.get_or_insert_with(|| (Instant::now(), done));
        let left = time_left(since.elapsed(), done.saturating_sub(first), total.saturating_sub(done));
        self.last = match left {
            Some(left) => format!("{done} of {total} crates, about {} left", in_words(left)),
            None => format!("{done} of {total} crates"),
        };
        self.again();
    }

    fn draw(&mut self, what: &str) {
        self.drawn = Instant::now();
        let short: String = what.chars().take(60).collect();
        let seconds = self.started.elapsed().as_secs();
        match self.shown {
            OutputMode::Terminal => put(&format!("\r\x1b[K  {} ... {seconds} s  {short}", self.name)),
            OutputMode::Lines if !short.is_empty() => put(&format!("  {} ... {seconds} s  {short}\n", self.name)),
            OutputMode::Lines | OutputMode::Never => {}
        }
    }

    fn stop(&mut self) {
        self.took = Some(self.started.elapsed());
    }

    fn close(&self, verdict: &str) {
        let seconds = self.took.unwrap_or_else(|| self.started.elapsed()).as_secs_f32();
        let start = if self.shown == OutputMode::Terminal { "\r\x1b[K" } else { "" };
        put(&format!("{start}  {:<44} {seconds:>6.1} s  {verdict}\n", self.name));
    }
}

/// The time for `left` more units at the present pace.
fn time_left(passed: Duration, done: u32, left: u32) -> Option<Duration> {
    (done >= MIN_COUNT).then(|| passed.checked_div(done)?.checked_mul(left)).flatten()
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{} s", seconds.div_ceil(10) * 10),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

#[expect(clippy::print_stdout, reason = "this program reports to people on its standard output")]
fn put(text: &str) {
    print!("{text}");
    // A closed pipe is the reader's choice; the task continues.
    std::io::stdout().flush().ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_the_pace_of_the_build() {
        let minute = Duration::from_mins(1);
        assert_eq!(time_left(minute, MIN_COUNT - 1, 100), None);
        assert_eq!(time_left(minute, 60, 120), Some(2 * minute));
        assert_eq!(in_words(Duration::from_secs(61)), "2 min");
        assert_eq!(in_words(Duration::from_secs(41)), "50 s");
    }

    #[test]
    fn background_step_returns_its_result() {
        assert_eq!(background("step", |_| Ok(7)).finish().unwrap(), 7);
        assert!(background("step", |_| -> Result<()> { Err(Failure::NoStack) }).finish().is_err());
    }
}
