//! The `control-plane` command.

mod args;
mod bootstrap;
mod certificate_args;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use args::Command;
use certificate_args::SdsArgs;
use clap::Parser as _;
use control_plane::{BoundedLog, Server, Settings, raise_file_limit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = args::Args::parse();
    let sds = match args.command.take() {
        Some(Command::Bootstrap(bootstrap)) => {
            let printed = bootstrap.print().unwrap_or_else(|error| error.exit());
            return match writeln!(io::stdout(), "{printed}") {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        Some(Command::Sds(sds)) => Some(sds),
        None => None,
    };
    let filter = EnvFilter::builder().with_env_var("MESHWARDEN_LOG").try_from_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(BoundedLog)
        .init();
    let files = raise_file_limit();
    tracing::debug!(files, "limit on open files is in effect");
    let done = match sds {
        Some(sds) => run_sds(sds).await,
        None => match args.settings().await {
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
