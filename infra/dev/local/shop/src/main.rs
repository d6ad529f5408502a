//! `shop`: the applications of the demo mesh in one process, and a steady load on them.
//!
//! ```text
//!   load ──▶ gateway's Envoy ──▶ a node's Envoy ──▶ application ──▶ the same Envoy's egress ──▶ ...
//!                                                      │
//!   control: failing nodes, load ──────────────────────┤
//!   tally: results of the load, by serving nodes ◀─────┘
//! ```
//!
//! An application knows only the address of its proxy. Each response has the header `x-served-by`, to which every
//! application on the way adds its name.
//!
//! This crate does not depend on App Mesh, and listens on loopback only.

mod application;
mod control;
mod control_server;
mod load;
mod plan;
mod tally;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use application::Application;
use control::Control;
use plan::Plan;

/// The applications of the demo mesh, and a steady load on them.
///
/// Prints `shop http://127.0.0.1:PORT`, the address of the control server, once everything listens.
#[derive(Debug, Parser)]
struct Args {
    /// The ports that the control plane assigned, as JSON.
    plan: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing better can be done about a closed standard error.
            drop(writeln!(io::stderr(), "shop: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let plan: Plan = serde_json::from_slice(&std::fs::read(&args.plan)?)?;
    let control = Arc::new(Control::new(plan.gateway));
    for node in plan.nodes {
        Application::bind(node, Arc::clone(&control)).await?.start();
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(io::stdout(), "shop http://{}", listener.local_addr()?)?;
    let serving = axum::serve(listener, control_server::router(control));
    tokio::select! {
        served = serving.into_future() => Ok(served?),
        _ = terminated.recv() => Ok(()),
    }
}
