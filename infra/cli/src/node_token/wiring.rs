//! Connects the commands to the control plane.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aws::{AppMesh, Aws, IssuedNodeToken, NodeTokenRequest};
use runner::Config;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{AgentArgs, NodeArgs, TokenArgs};
use super::{agent, file};

/// The reason why no token was written.
#[derive(Debug, Error)]
enum TokenError {
    #[error(transparent)]
    Config(#[from] runner::ConfigError),
    #[error("failed to start")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Request(#[from] ports::PortError),
    #[error("failed to write the token to {path}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("failed to print the token")]
    Print(#[source] io::Error),
}

/// Runs `meshwarden token`.
pub(crate) fn run_token(args: &TokenArgs) -> ExitCode {
    finish(block_on(async {
        let issued = connect().await?.node_token(&request(&args.request)).await?;
        match &args.token_file {
            Some(path) => write(path, &issued),
            None => writeln!(io::stdout(), "{}", issued.token).map_err(TokenError::Print),
        }
    }))
}

/// Runs `meshwarden agent`, until SIGTERM or SIGINT.
pub(crate) fn run_agent(args: &AgentArgs) -> ExitCode {
    finish(block_on(async {
        let mesh = connect().await?;
        let (request, path) = (request(&args.request), &args.token_file);
        let mut terminated = signal(SignalKind::terminate()).map_err(TokenError::Start)?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(TokenError::Start)?;
        let renewal = async || {
            let issued = mesh.node_token(&request).await?;
            write(path, &issued)?;
            let _ = writeln!(io::stdout(), "token {} expires {}", issued.id, issued.expires);
            Ok::<(), TokenError>(())
        };
        let report = |error: &TokenError| {
            crate::fail(error);
        };
        tokio::select! {
            () = agent::renew(Duration::from_secs(args.request.lifetime.into()), renewal, report) => {}
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        Ok(())
    }))
}

fn block_on(work: impl Future<Output = Result<(), TokenError>>) -> Result<(), TokenError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TokenError::Start)?.block_on(work)
}

fn finish(outcome: Result<(), TokenError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::fail(&error),
    }
}

/// The client of the control plane, by the variables that the functions use.
async fn connect() -> Result<AppMesh, TokenError> {
    let config = Config::from_env(|variable| std::env::var(variable).ok())?;
    Ok(Aws::open().await.mesh_known_to(config.audience.as_deref()))
}

fn request(args: &NodeArgs) -> NodeTokenRequest {
    let NodeArgs { node, instance, lifetime } = args.clone();
    NodeTokenRequest { node, instance, lifetime_seconds: lifetime }
}

fn write(path: &std::path::Path, issued: &IssuedNodeToken) -> Result<(), TokenError> {
    file::replace(path, &issued.token).map_err(|source| TokenError::File { path: path.to_owned(), source })
}
