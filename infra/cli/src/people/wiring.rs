//! Connects the commands to AWS, or to the endpoints that replace it.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws::Aws;
use policy::{BUILT_IN, Policy};
use ports::SystemClock;
use runner::Config;
use thiserror::Error;

use super::args::{DrillArgs, DrillCommand, People, Place, StatusArgs};
use super::desk::{Desk, Ports};
use super::error::Trouble;
use super::watch;

/// The interval between two reads of `drill status --watch`.
const DRILL_INTERVAL: Duration = Duration::from_secs(2);

/// Why a command cannot start.
#[derive(Debug, Error)]
enum Unready {
    #[error(transparent)]
    Config(#[from] runner::ConfigError),
    #[error("failed to read the policy")]
    PolicyText(#[source] ports::PortError),
    #[error("failed to read the policy")]
    Policy(#[source] policy::PolicyError),
    #[error("failed to start")]
    Runtime(#[source] io::Error),
    #[error("the operator's name is not set; pass --by NAME or set USER")]
    Nameless,
}

/// Runs a command, and prints its output.
pub(crate) fn run(command: &People) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Unready::Runtime);
    let result = match runtime {
        Ok(runtime) => runtime.block_on(execute(command)),
        Err(error) => Err(error),
    };
    match result {
        Ok(Ok(text)) => match io::stdout().write_all(crate::shown(&text).as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => crate::fail(&error),
        },
        Ok(Err(trouble)) => {
            match &trouble {
                Trouble::Port(error) => crate::fail(error),
                other => crate::fail(other),
            };
            ExitCode::from(trouble.exit_code())
        }
        Err(error) => crate::fail(&error),
    }
}

async fn execute(command: &People) -> Result<Result<String, Trouble>, Unready> {
    let config = config(command.place())?;
    let by = by(command)?;
    let aws = Aws::open().await;
    let text = aws.policy(&config.policy, BUILT_IN).read().await.map_err(Unready::PolicyText)?;
    let policy = Policy::read(&text).map_err(Unready::Policy)?;
    let mesh = Arc::new(aws.mesh_known_to(config.audience.as_deref()));
    let ports = Ports {
        clock: Arc::new(SystemClock),
        meshes: Arc::clone(&mesh) as _,
        routes: Arc::clone(&mesh) as _,
        proxies: mesh,
        reports: config.reports.as_ref().map(|place| aws.reports(Some(place))),
        alarms: Arc::new(aws.alarms()),
        metrics: Arc::new(aws.alarms()),
        state: Arc::new(aws.state(&config.table)),
    };
    let prompts = command.signature().is_some_and(|signature| !signature.yes) && io::stdin().is_terminal();
    let prompt = |question: &str| if prompts { prompt(question) } else { Ok(true) };
    let desk = Desk { ports, policy, by, prompt: &prompt };
    match command {
        People::Status(StatusArgs { watch: Some(seconds), .. }) => {
            Ok(watch::follow(&desk, command, Duration::from_secs(*seconds)).await)
        }
        People::Drill(DrillArgs { action: DrillCommand::Status { watch: true, .. } }) => {
            Ok(watch::follow(&desk, command, DRILL_INTERVAL).await)
        }
        _ => Ok(super::execute(&desk, command).await),
    }
}

/// The configuration from the flags, then from the functions' environment variables.
fn config(place: &Place) -> Result<Config, Unready> {
    let flag = |variable: &str| match variable {
        "MESHWARDEN_TABLE" => place.table.clone(),
        "MESHWARDEN_POLICY" => place.policy.clone(),
        _ => None,
    };
    Ok(Config::from_env(|variable| flag(variable).or_else(|| std::env::var(variable).ok()))?)
}

/// The operator's name; empty for a command that writes nothing.
fn by(command: &People) -> Result<String, Unready> {
    let Some(signature) = command.signature() else { return Ok(String::new()) };
    let named = signature.by.clone().or_else(|| std::env::var("USER").ok());
    named.filter(|name| !name.trim().is_empty()).ok_or(Unready::Nameless)
}

/// Prompts on the terminal. Every other answer than `y`, `Y` or `yes` declines.
pub(crate) fn prompt(question: &str) -> io::Result<bool> {
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
