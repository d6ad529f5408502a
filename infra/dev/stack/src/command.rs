//! Programs that run to completion.

mod followed;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufReader, Read, Write as _};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::console::Progress;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::process;

pub use followed::Followed;

/// The number of last lines in the error of a failed command.
const TAIL: usize = 25;

/// A program with its arguments.
#[derive(Debug)]
pub struct Run {
    command: Command,
    /// The time limit; `None` without one.
    limit: Option<Duration>,
}

impl Run {
    /// A program that runs in `folder`, without an input.
    pub fn new(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = Command::new(program);
        // A separate process group allows ending a program together with its children.
        command.current_dir(folder).stdin(Stdio::null()).process_group(0);
        without_cargo_package(&mut command);
        Self { command, limit: None }
    }

    /// The cargo that runs this program.
    #[must_use]
    pub fn cargo(folder: &Path) -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), folder)
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds an option with its value.
    #[must_use]
    pub fn arg_pair(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.arg(name).arg(value);
        self
    }

    /// Sets an environment variable of the program.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Ends it with its children after this time, which is a failure.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs it with `input` as its standard input, and returns its standard output.
    pub fn filter(mut self, input: &str) -> Result<String> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|source| self.not_started(source))?;
        // Dropped at the end of the statement, which is the end of the program's input.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(|source| self.not_started(source))?;
        let errors = String::from_utf8_lossy(&output.stderr).lines().map(ToOwned::to_owned).collect();
        self.verdict(output.status, errors)?;
        written.map_err(|source| self.not_started(source))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it with its output on the terminal.
    pub fn shown(mut self) -> Result<()> {
        let child = self.command.spawn().map_err(|source| self.not_started(source))?;
        let status = wait(child, &self.name(), self.limit)?;
        self.verdict(status, VecDeque::new())
    }

    /// Runs a program that ends its children, with its output on the terminal. After a signal it gets a request to end,
    /// and killed only if it still runs after `grace`.
    ///
    /// # Errors
    ///
    /// The program does not start or fails, or a signal came.
    pub fn supervised(mut self, grace: Duration) -> Result<()> {
        let mut child = self.command.spawn().map_err(|source| self.not_started(source))?;
        let status = match poll_end(&mut child, &self.name()) {
            Err(failure) => {
                end_gracefully(&mut child, grace);
                return Err(failure);
            }
            Ok(status) => status,
        };
        self.verdict(status, VecDeque::new())
    }

    /// Runs a build by cargo: cargo's count of built units, with the remaining time, is the step's progress. Returns
    /// its standard output.
    pub fn building(mut self, progress: &mut Progress) -> Result<Vec<String>> {
        // Cargo counts only for terminals, unless the width is set.
        self.command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "120");
        self.condensed(progress)
    }

    /// Runs it with its newest line as the step's progress; the other output is shown only if it fails. Returns its
    /// standard output.
    pub fn condensed(mut self, progress: &mut Progress) -> Result<Vec<String>> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|source| self.not_started(source))?;
        let (sender, lines) = channel();
        read_lines(child.stdout.take(), LineKind::Output, sender.clone());
        read_lines(child.stderr.take(), LineKind::Error, sender);
        let (output, tail) = follow(&child, &lines, progress)?;
        let status = wait(child, &self.name(), self.limit)?;
        self.verdict(status, tail)?;
        Ok(output)
    }

    /// Starts it, and returns its output as it comes. Dropping the result ends the program.
    pub fn followed(mut self) -> Result<Followed> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|source| self.not_started(source))?;
        let (sender, lines) = channel();
        read_lines(child.stdout.take(), LineKind::Output, sender.clone());
        read_lines(child.stderr.take(), LineKind::Error, sender);
        Ok(Followed::new(child, lines))
    }

    fn verdict(&self, status: ExitStatus, tail: VecDeque<String>) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        Err(Failure::Command { command: self.name(), status: status.to_string(), tail: tail.into() })
    }

    fn not_started(&self, source: std::io::Error) -> Failure {
        Failure::Start { command: self.name(), source }
    }

    fn name(&self) -> String {
        let program = Path::new(self.command.get_program()).file_name().unwrap_or_default();
        let words = std::iter::once(program).chain(self.command.get_args()).map(OsStr::to_string_lossy);
        words.take(6).collect::<Vec<_>>().join(" ")
    }
}

/// Removes the variables that `cargo run` has set for this program: build scripts that watch them would otherwise run
/// again in every nested build.
fn without_cargo_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
}

/// Requests a program to end, and kills it with its group if it still runs after `grace`.
fn end_gracefully(child: &mut Child, grace: Duration) {
    process::ask_to_end(child.id());
    let ended = interrupt::poll_to_the_end(grace, || Ok(child.try_wait().ok().flatten()));
    if !matches!(ended, Ok(Some(_))) {
        process::end_group(child.id());
        child.wait().ok();
    }
}

/// Waits for the end of a program. Fails after a signal, while the program still runs.
fn poll_end(child: &mut Child, name: &str) -> Result<ExitStatus> {
    loop {
        let ended = interrupt::poll(Duration::from_hours(1), || {
            child.try_wait().map_err(|source| Failure::Start { command: name.to_owned(), source })
        })?;
        if let Some(status) = ended {
            return Ok(status);
        }
    }
}

fn wait(mut child: Child, name: &str, limit: Option<Duration>) -> Result<ExitStatus> {
    loop {
        let looked = interrupt::poll(limit.unwrap_or(Duration::from_hours(1)), || {
            child.try_wait().map_err(|source| Failure::Start { command: name.to_owned(), source })
        });
        let failure = match (looked, limit) {
            (Ok(Some(status)), _) => return Ok(status),
            (Ok(None), None) => continue,
            (Ok(None), Some(limit)) => {
                Failure::TimeLimit { command: name.to_owned(), minutes: limit.as_secs().div_ceil(60) }
            }
            (Err(failure), _) => failure,
        };
        process::end_group(child.id());
        return Err(failure);
    }
}

/// A line of output.
#[derive(Debug, PartialEq, Eq)]
struct OutputLine {
    text: String,
    kind: LineKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineKind {
    Output,
    Error,
    /// Overwritten by the next line, because it ends with a carriage return; it is shown but not kept.
    Passing,
}

fn read_lines(stream: Option<impl Read + Send + 'static>, kind: LineKind, sender: Sender<OutputLine>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        let mut bytes = Vec::new();
        for byte in BufReader::new(stream).bytes().map_while(std::result::Result::ok) {
            let kind = match byte {
                b'\n' => kind,
                b'\r' => LineKind::Passing,
                _ => {
                    bytes.push(byte);
                    continue;
                }
            };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            bytes.clear();
            if sender.send(OutputLine { text, kind }).is_err() {
                return;
            }
        }
        if !bytes.is_empty() {
            sender.send(OutputLine { text: String::from_utf8_lossy(&bytes).into_owned(), kind }).ok();
        }
    });
}

fn follow(
    child: &Child,
    lines: &Receiver<OutputLine>,
    progress: &mut Progress,
) -> Result<(Vec<String>, VecDeque<String>)> {
    let mut output = Vec::new();
    let mut tail = VecDeque::new();
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(OutputLine { text, kind: LineKind::Passing }) => {
                if let Some(count) = UnitCount::parse_line(&text) {
                    progress.count(count.done, count.total);
                } else {
                    progress.at(text.trim());
                }
            }
            // JSON messages of cargo are for programs.
            Ok(OutputLine { text, kind: LineKind::Output }) if text.starts_with('{') => output.push(text),
            Ok(OutputLine { text, kind }) => {
                progress.at(text.trim());
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(text.clone());
                if kind == LineKind::Output {
                    output.push(text);
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => progress.again(),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok((output, tail)),
        }
        if let Err(failure) = interrupt::check() {
            process::end_group(child.id());
            return Err(failure);
        }
    }
}

/// The number of compiled crates and their total: the end of cargo's progress bar, such as `Building [=>  ] 12/418:
/// serde`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UnitCount {
    done: u32,
    total: u32,
}

impl UnitCount {
    fn parse_line(line: &str) -> Option<Self> {
        let (_, rest) = line.trim().strip_prefix("Building [")?.split_once("] ")?;
        let (count, _) = rest.split_once(':').unwrap_or((rest, ""));
        let (done, total) = count.trim().split_once('/')?;
        Some(Self { done: done.parse().ok()?, total: total.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_bar_of_cargo_is_read() {
        let bar = "    Building [=======>        ] 123/418: aws-sdk-sns, mesh";
        assert_eq!(UnitCount::parse_line(bar), Some(UnitCount { done: 123, total: 418 }));
        assert_eq!(UnitCount::parse_line("    Building [=====] 9/9"), Some(UnitCount { done: 9, total: 9 }));
        for other in ["   Compiling serde v1", "  Downloading [=> ] 3 crates", "Building [> ] soon", ""] {
            assert_eq!(UnitCount::parse_line(other), None, "{other}");
        }
    }

    #[test]
    fn overwritten_lines_are_passing() {
        let (sender, lines) = channel();
        read_lines(Some(std::io::Cursor::new(b"one\rtwo\nthree")), LineKind::Error, sender);
        let lines: Vec<OutputLine> = lines.iter().collect();
        let line = |text: &str, kind| OutputLine { text: text.to_owned(), kind };
        let expected = [line("one", LineKind::Passing), line("two", LineKind::Error), line("three", LineKind::Error)];
        assert_eq!(lines, expected);
    }

    #[test]
    fn command_that_exceeds_its_time_limit_is_ended() {
        let run = Run::new("sleep", Path::new("/")).args(["600"]).within(Duration::from_millis(1));
        assert!(matches!(run.shown(), Err(Failure::TimeLimit { .. })));
        assert!(Run::new("true", Path::new("/")).within(Duration::from_mins(1)).shown().is_ok());
    }

    #[test]
    fn last_lines_of_an_ended_program_are_all_returned() {
        let child = Command::new("true").spawn().unwrap();
        let (sender, lines) = channel();
        let mut followed = Followed::new(child, lines);
        let ended = interrupt::poll(Duration::from_secs(10), || followed.succeeded());
        assert_eq!(ended.unwrap(), Some(true));
        // The reader is still at work after the end of the program.
        let reader = thread::spawn(move || {
            for number in 0..10_000 {
                sender.send(OutputLine { text: number.to_string(), kind: LineKind::Output }).ok();
            }
        });
        assert_eq!(followed.new_lines().len(), 10_000);
        reader.join().unwrap();
    }

    #[test]
    fn supervised_program_has_the_time_to_end_its_children() {
        let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        end_gracefully(&mut child, Duration::from_mins(1));
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(7));
    }

    #[test]
    fn followed_program_gives_its_lines_and_its_end() {
        let run = Run::new("sh", Path::new("/")).args(["-c", "echo one; echo two >&2; exit 3"]);
        let mut followed = run.followed().unwrap();
        let mut lines = Vec::new();
        let ended = interrupt::poll(Duration::from_secs(10), || {
            lines.extend(followed.new_lines());
            followed.succeeded()
        });
        lines.extend(followed.new_lines());
        lines.sort();
        assert_eq!((ended.unwrap(), lines), (Some(false), vec!["one".to_owned(), "two".to_owned()]));
    }

    #[test]
    fn filter_returns_the_output_of_the_program() {
        assert_eq!(Run::new("cat", Path::new("/")).filter("input").unwrap(), "input");
        assert!(Run::new("false", Path::new("/")).filter("").is_err());
    }
}
