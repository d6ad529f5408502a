//! Connects the commands to SQS, or to the endpoint that replaces it.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use aws::Aws;
use jiff::Timestamp;
use runner::Config;
use thiserror::Error;

use super::desk::QueueContext;
use super::error::DeadLetterError;
use super::{DeadLetters, execute};

/// Why a command cannot start.
#[derive(Debug, Error)]
enum StartError {
    #[error("the operator's name is not set; pass --by NAME or set USER")]
    Nameless,
    #[error(transparent)]
    Config(#[from] runner::ConfigError),
}

/// The operator's name; empty for a command that writes no journal entry.
fn by(command: &DeadLetters) -> Result<String, StartError> {
    let Some(consent) = command.consent().filter(|consent| !consent.no_journal) else { return Ok(String::new()) };
    let named = consent.by.clone().or_else(|| std::env::var("USER").ok());
    named.filter(|name| !name.trim().is_empty()).ok_or(StartError::Nameless)
}

/// The state table from the flag, or from the functions' environment variable.
fn table(command: &DeadLetters) -> Result<String, StartError> {
    let flag = |variable: &str| (variable == "MESHWARDEN_TABLE").then(|| command.table().map(str::to_owned)).flatten();
    let given = |variable: &str| flag(variable).or_else(|| std::env::var(variable).ok());
    Ok(Config::from_env(given)?.table)
}

/// Runs a command, and prints its output.
pub(crate) fn run(command: &DeadLetters) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(&error),
    };
    let (by, table) = match (by(command), table(command)) {
        (Ok(by), Ok(table)) => (by, table),
        (Err(error), _) | (_, Err(error)) => return crate::fail(&error),
    };
    runtime.block_on(async {
        let aws = match Aws::open_checked().await {
            Ok(aws) => aws,
            Err(error) => return crate::fail(&error),
        };
        let prompts = command.needs_confirmation() && io::stdin().is_terminal();
        let prompt = |question: &str| if prompts { crate::people::prompt(question) } else { Ok(true) };
        let (queues, state) = (aws.queues(), aws.state(&table));
        let desk = QueueContext { queues: &queues, now: Timestamp::now(), state: &state, by, prompt: &prompt };
        match execute(&desk, command).await {
            Ok(text) => match io::stdout().write_all(crate::shown(&text).as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => crate::fail(&error),
            },
            Err(trouble) => {
                match &trouble {
                    DeadLetterError::Port(error) => crate::fail(error),
                    other => crate::fail(other),
                };
                ExitCode::from(trouble.exit_code())
            }
        }
    })
}
