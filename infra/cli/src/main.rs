//! The `meshwarden` command, for operators and CI pipelines.
//!
//! ```text
//!   meshwarden check PATH... ──▶ files ──▶ readers ──▶ pack ──▶ table, JSON, SARIF, JUnit, ..., and an exit code
//!
//!   meshwarden import | apply | diff ──▶ files and API ──▶ plan ──▶ writes and a report
//!   meshwarden export ──▶ API ──▶ API JSON, CloudFormation, Terraform
//!
//!   meshwarden status | explain | hold | release | restore | kill
//!                       └──▶ ports ──▶ meshes, alarms, state table and journal ──▶ states, reasons and past decisions
//!
//!   meshwarden dead-letters list | show | redrive | drop
//!                       └──▶ queues ──▶ events that could not be delivered, handled or read
//!
//!   meshwarden token | agent
//!                       └──▶ control plane ──▶ a node token, by which an Envoy proves which proxy it is
//! ```
//!
//! Exit code 0: success, or no finding reaches `--fail-on`. Exit code 1: a finding reaches it, or the current state
//! prevents the command. Exit code 2: an input is unreadable or invalid, or a call failed.
//!
//! The `mesh` crate judges meshes and interprets route records; this crate never does. Every route write is conditional
//! on the version that was read, and spends no function's budget.

mod args;
mod check;
#[cfg(any(feature = "aws", test))]
mod columns;
#[cfg(any(feature = "aws", test))]
mod dead_letters;
mod hcl;
#[cfg(feature = "aws")]
mod import;
#[cfg(any(feature = "aws", test))]
mod node_token;
#[cfg(any(feature = "aws", test))]
mod people;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Args, Command};

/// The exit code for an unreadable or invalid input, and for a failed call.
const UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Check(args) => on_large_stack(|| match check::run(&args) {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => fail(&error),
        }),
        #[cfg(feature = "aws")]
        Command::Import(args) => on_large_stack(|| import::import(&args)),
        #[cfg(feature = "aws")]
        Command::Apply(args) => on_large_stack(|| import::apply(&args)),
        #[cfg(feature = "aws")]
        Command::Diff(args) => on_large_stack(|| import::diff(&args)),
        #[cfg(feature = "aws")]
        Command::Export(args) => import::export(&args),
        #[cfg(feature = "aws")]
        Command::People(command) => people::run(&command),
        #[cfg(feature = "aws")]
        Command::DeadLetters(args) => dead_letters::run(&args.command),
        #[cfg(feature = "aws")]
        Command::Token(args) => node_token::run_token(&args),
        #[cfg(feature = "aws")]
        Command::Agent(args) => node_token::run_agent(&args),
        #[cfg(all(test, not(feature = "aws")))]
        Command::People(_) | Command::DeadLetters(_) | Command::Token(_) | Command::Agent(_) => {
            ExitCode::from(UNREADABLE)
        }
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

/// Runs `work` on a stack that suffices for the deepest nesting that readers accept. Only the used
/// part occupies memory.
fn on_large_stack(work: impl FnOnce() -> ExitCode + Send) -> ExitCode {
    const STACK: usize = 256 * 1024 * 1024;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(code)) => code,
            // The panic hook has printed the message.
            Ok(Err(_)) => ExitCode::from(UNREADABLE),
            Err(error) => fail(&error),
        }
    })
}

/// The output of a command, with control characters escaped so that no name or value controls the terminal.
#[cfg(feature = "aws")]
fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    if text.starts_with(['{', '[']) { reports::visible_json(text) } else { reports::visible_lines(text) }
}

fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let mut message = format!("meshwarden: {error}");
    let is_call = |error: &(dyn std::error::Error + 'static)| error.is::<ports::PortError>();
    // The text of a failed call includes the service's answer. Its sources end in the SDK's debug output.
    let mut source = if is_call(error) { None } else { error.source() };
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = if is_call(cause) { None } else { cause.source() };
    }
    // The exit code reports the error even if standard error is closed.
    drop(writeln!(io::stderr(), "{}", reports::visible_lines(&message)));
    ExitCode::from(UNREADABLE)
}
