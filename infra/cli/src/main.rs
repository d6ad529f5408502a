//! The `meshwarden` command, for people and for pipelines.
//!
//! ```text
//!   meshwarden check PATH... ──▶ files ──▶ readers ──▶ pack ──▶ table, JSON, SARIF, JUnit, ..., and an exit code
//!
//!   meshwarden status | explain | hold | release | restore | kill
//!                       └──▶ ports ──▶ meshes, alarms, state table and journal ──▶ what stands, why, and what was done
//!
//!   meshwarden dead-letters list | show | redrive | drop
//!                       └──▶ queues ──▶ events that could not be delivered, handled or read
//! ```
//!
//! Exit codes: 0 when it is done, or nothing is as severe as `--fail-on`; 1 when something is, or when how things stand
//! forbids what was asked; 2 when something can't be read, reached or understood.
//!
//! This crate never decides what is wrong with a mesh or what a route's record means: that is for `mesh`. It never
//! writes a route without the version it was read at, and never spends a function's budget.

mod args;
mod check;
#[cfg(any(feature = "aws", test))]
mod dead_letters;
mod hcl;
#[cfg(any(feature = "aws", test))]
mod people;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Args, Command};

/// Something can't be read, or was asked for in a way that can't be.
const UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Check(args) => on_large_stack(|| match check::run(&args) {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => fail(&error),
        }),
        #[cfg(feature = "aws")]
        Command::People(asked) => people::run(&asked),
        #[cfg(feature = "aws")]
        Command::DeadLetters(args) => dead_letters::run(&args.command),
        #[cfg(all(test, not(feature = "aws")))]
        Command::People(_) | Command::DeadLetters(_) => ExitCode::from(UNREADABLE),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "meshwarden", &mut script);
            match io::stdout().write_all(&script) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            }
        }
    }
}

/// Runs `work` on a stack that suffices for files nested as deep as readers allow. Only what is used of it takes memory.
fn on_large_stack(work: impl FnOnce() -> ExitCode + Send) -> ExitCode {
    const STACK: usize = 256 * 1024 * 1024;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(code)) => code,
            // The panic has been printed.
            Ok(Err(_)) => ExitCode::from(UNREADABLE),
            Err(error) => fail(&error),
        }
    })
}

/// What a command has to say, as it is written: no character of a name or a value acts on the terminal.
#[cfg(feature = "aws")]
fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    if text.starts_with(['{', '[']) { reports::visible_json(text) } else { reports::visible_lines(text) }
}

fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let mut told = format!("meshwarden: {error}");
    let is_call = |error: &(dyn std::error::Error + 'static)| error.is::<ports::PortError>();
    // A failed call says in its own text what the service answered; its sources end in the SDK's debug text.
    let mut source = if is_call(error) { None } else { error.source() };
    while let Some(cause) = source {
        told.push_str(": ");
        told.push_str(&cause.to_string());
        source = if is_call(cause) { None } else { cause.source() };
    }
    // Where not even this can be written, the exit code says it.
    drop(writeln!(io::stderr(), "{}", reports::visible_lines(&told)));
    ExitCode::from(UNREADABLE)
}
