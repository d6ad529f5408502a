//! Programs that are run to their end.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
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

/// How many of the last lines a failed command's error shows.
const TAIL: usize = 25;

/// A program with its arguments.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
}

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = Command::new(program);
        // In a process group of its own, a program and all that it starts can be ended together.
        command.current_dir(folder).stdin(Stdio::null()).process_group(0);
        without_cargo_package(&mut command);
        Self { command }
    }

    /// The cargo that runs this program.
    pub(crate) fn cargo(folder: &Path) -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), folder)
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn arg_pair(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.arg(name).arg(value);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it with its output in full view.
    pub(crate) fn shown(mut self) -> Result<()> {
        let child = self.command.spawn().map_err(|source| self.not_started(source))?;
        let status = wait(child)?;
        self.verdict(status, VecDeque::new())
    }

    /// Runs it with its newest line as the step's progress; all of it is kept back unless it fails.
    /// Returns what it wrote to its standard output.
    pub(crate) fn condensed(mut self, progress: &mut Progress) -> Result<Vec<String>> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|source| self.not_started(source))?;
        let (sender, lines) = channel();
        read_lines(child.stdout.take(), true, sender.clone());
        read_lines(child.stderr.take(), false, sender);
        let (output, tail) = follow(&child, &lines, progress)?;
        let status = wait(child)?;
        self.verdict(status, tail)?;
        Ok(output)
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

/// Takes away what `cargo run` told this program about itself: build scripts that watch these variables would
/// otherwise run again in every nested build.
fn without_cargo_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
}

fn wait(mut child: Child) -> Result<ExitStatus> {
    let name = child.id().to_string();
    loop {
        let looked = interrupt::poll(Duration::from_hours(1), || {
            child.try_wait().map_err(|source| Failure::Start { command: name.clone(), source })
        });
        match looked {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(failure) => {
                process::end_group(child.id());
                return Err(failure);
            }
        }
    }
}

type Line = (bool, String);

fn read_lines(stream: Option<impl Read + Send + 'static>, is_output: bool, sender: Sender<Line>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(std::result::Result::ok) {
            if sender.send((is_output, line)).is_err() {
                return;
            }
        }
    });
}

fn follow(child: &Child, lines: &Receiver<Line>, progress: &mut Progress) -> Result<(Vec<String>, VecDeque<String>)> {
    let mut output = Vec::new();
    let mut tail = VecDeque::new();
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok((is_output, line)) => {
                progress.at(line.trim());
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(line.clone());
                if is_output {
                    output.push(line);
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                progress.at(tail.back().map_or("", String::as_str).trim());
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok((output, tail)),
        }
        if let Err(failure) = interrupt::check() {
            process::end_group(child.id());
            return Err(failure);
        }
    }
}
