//! The `control-plane` command.

mod args;
mod bootstrap;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use args::Command;
use clap::Parser as _;
use control_plane::{Server, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = args::Args::parse();
    if let Some(Command::Bootstrap(bootstrap)) = args.command {
        return match writeln!(io::stdout(), "{}", bootstrap.print()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let filter = EnvFilter::builder().with_env_var("MESHWARDEN_LOG").try_from_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(io::stderr)
        .init();
    let settings = match args.settings() {
        Ok(settings) => settings,
        Err(error) => error.exit(),
    };
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", told(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// An error with all that it comes from.
fn told(error: &dyn Error) -> String {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    sources.fold(error.to_string(), |told, source| format!("{told}: {source}"))
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::bind(settings).await?;
    writeln!(io::stdout(), "api {}", server.endpoint())?;
    for place in server.xds() {
        writeln!(io::stdout(), "xds {place}")?;
    }
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    Ok(server.serve(stop).await?)
}
