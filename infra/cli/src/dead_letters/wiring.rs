//! Connects the commands to SQS, or to the endpoint that replaces it.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use aws::Aws;
use jiff::Timestamp;
use runner::Config;
use thiserror::Error;

use super::desk::Desk;
use super::error::Trouble;
use super::{DeadLetters, answer};

/// Why a command cannot start.
#[derive(Debug, Error)]
enum Unready {
    #[error("no name for the journal is known; pass --by NAME or set USER")]
    Nameless,
    #[error(transparent)]
    Config(#[from] runner::ConfigError),
}

/// The operator's name; empty for a command that writes no journal entry.
fn by(asked: &DeadLetters) -> Result<String, Unready> {
    let Some(consent) = asked.consent().filter(|consent| !consent.no_journal) else { return Ok(String::new()) };
    let named = consent.by.clone().or_else(|| std::env::var("USER").ok());
    named.filter(|name| !name.trim().is_empty()).ok_or(Unready::Nameless)
}

/// The state table from the flag, or from the functions' environment variable.
fn table(asked: &DeadLetters) -> Result<String, Unready> {
    let flag = |variable: &str| (variable == "MESHWARDEN_TABLE").then(|| asked.table().map(str::to_owned)).flatten();
    let given = |variable: &str| flag(variable).or_else(|| std::env::var(variable).ok());
    Ok(Config::from_env(given)?.table)
}

/// Runs a command, and prints its output.
pub(crate) fn run(asked: &DeadLetters) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(&error),
    };
    let (by, table) = match (by(asked), table(asked)) {
        (Ok(by), Ok(table)) => (by, table),
        (Err(error), _) | (_, Err(error)) => return crate::fail(&error),
    };
    runtime.block_on(async {
        let aws = match Aws::open_checked().await {
            Ok(aws) => aws,
            Err(error) => return crate::fail(&error),
        };
        let asks = asked.asks() && io::stdin().is_terminal();
        let ask = |question: &str| if asks { crate::people::put(question) } else { Ok(true) };
        let (queues, state) = (aws.queues(), aws.state(&table));
        let desk = Desk { queues: &queues, now: Timestamp::now(), state: &state, by, ask: &ask };
        match answer(&desk, asked).await {
            Ok(text) => match io::stdout().write_all(crate::shown(&text).as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => crate::fail(&error),
            },
            Err(trouble) => {
                match &trouble {
                    Trouble::Port(error) => crate::fail(error),
                    other => crate::fail(other),
                };
                ExitCode::from(trouble.exit_code())
            }
        }
    })
}
