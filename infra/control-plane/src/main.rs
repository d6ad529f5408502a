//! The `control-plane` command.

mod args;
mod bootstrap;
mod certificate_args;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use args::Command;
use args::operations::LogFormat;
use args::sources::{Sources, variable_name};
use certificate_args::SdsArgs;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, ValueEnum as _};
use control_plane::{BoundedLog, Server, Settings, raise_file_limit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = parse();
    let command = args.command.take();
    if let Some(Command::Bootstrap(bootstrap)) = command {
        let output = bootstrap.output();
        let printed = bootstrap.print().unwrap_or_else(|error| error.exit());
        let written = match &output {
            Some(file) => std::fs::write(file, format!("{printed}\n")),
            None => writeln!(io::stdout(), "{printed}"),
        };
        return match (written, output) {
            (Ok(()), _) => ExitCode::SUCCESS,
            (Err(error), Some(file)) => {
                // The reason is lost without standard error.
                let _ = writeln!(io::stderr(), "failed to write {}: {error}", file.display());
                ExitCode::FAILURE
            }
            (Err(_), None) => ExitCode::FAILURE,
        };
    }
    let format = match command {
        None => args.operations.log_format(),
        // Commands other than serving have no options for logs.
        Some(_) => log_format_of_environment(),
    };
    start_log(format);
    let files = raise_file_limit();
    tracing::debug!(files, "limit on open files is in effect");
    let done = match command {
        Some(Command::Sds(sds)) => run_sds(sds).await,
        Some(Command::Snapshot(snapshot)) => snapshot.run().await,
        Some(Command::Restore(restore)) => restore.run().await,
        Some(Command::Kubernetes(kubernetes)) => match stop() {
            Ok(stop) => kubernetes.run(stop).await,
            Err(error) => Err(error.into()),
        },
        Some(Command::NodeToken(token)) => match stop() {
            Ok(stop) => token.run(stop).await,
            Err(error) => Err(error.into()),
        },
        Some(Command::Store(store)) => store.run().await,
        // `Bootstrap` was handled above, before the log.
        None | Some(Command::Bootstrap(_)) => match Box::pin(args.settings()).await {
            Ok(settings) => run(settings).await,
            Err(error) => error.exit(),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %error_chain(error.as_ref()), "control plane failed");
            ExitCode::FAILURE
        }
    }
}

/// The arguments of the command line, completed from the environment and the settings file for the server itself.
fn parse() -> args::Args {
    let mut command = args::Args::command();
    let line: Vec<OsString> = std::env::args_os().collect();
    let first = line.get(1).map(|first| first.to_string_lossy().into_owned()).unwrap_or_default();
    let is_other = first == "help" || command.get_subcommands().any(|other| other.get_name() == first);
    let (line, origins) = if is_other {
        (line, Vec::new())
    } else {
        match Sources::collect(&command, line, |name| std::env::var_os(name)) {
            Ok(Sources { args, origins }) => (args, origins),
            Err(error) => command.error(ErrorKind::ValueValidation, error_chain(&error)).exit(),
        }
    };
    let parsed = command.clone().try_get_matches_from(line);
    let parsed = parsed.and_then(|matches| args::Args::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| {
        let text = error.to_string();
        for origin in origins.iter().filter(|origin| origin.split(' ').next().is_some_and(|flag| text.contains(flag))) {
            // The note is lost without standard error.
            let _ = writeln!(io::stderr(), "note: {origin}");
        }
        error.exit()
    })
}

fn log_format_of_environment() -> LogFormat {
    let format = std::env::var(variable_name("log-format")).unwrap_or_default();
    LogFormat::from_str(&format, true).unwrap_or(LogFormat::Text)
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::builder().with_env_var("MESHWARDEN_LOG").try_from_env();
    let log = tracing_subscriber::fmt().with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")));
    match format {
        LogFormat::Text => log.with_writer(BoundedLog { is_json: false }).init(),
        LogFormat::Json => log.json().flatten_event(true).with_writer(BoundedLog { is_json: true }).init(),
    }
}

/// The display text of an error and of all its sources.
fn error_chain(error: &dyn Error) -> String {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let stop = stop()?;
    let server = Server::bind(settings).await?;
    writeln!(io::stdout(), "api {}", server.endpoint())?;
    for address in server.xds() {
        writeln!(io::stdout(), "xds {address}")?;
    }
    if let Some(addr) = server.metrics_addr() {
        writeln!(io::stdout(), "metrics http://{addr}")?;
    }
    Ok(server.serve(stop).await?)
}

async fn run_sds(args: SdsArgs) -> Result<(), Box<dyn Error>> {
    let stop = stop()?;
    let server = args.bind().await?;
    writeln!(io::stdout(), "sds {}", server.socket())?;
    Ok(server.serve(stop).await?)
}

/// Completes on SIGTERM or SIGINT.
fn stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}
