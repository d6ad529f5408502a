//! `shop`: the applications of the demo mesh in one process, and a steady load on them.
//!
//! ```text
//!   load ──▶ gateway's Envoy ──▶ a node's Envoy ──▶ application ──▶ the same Envoy's egress ──▶ ...
//!                                                      │
//!   control: who fails, how much load ─────────────────┤
//!   tally: what the load saw, by the node that served ◀┘
//! ```
//!
//! An application never knows where another one is: it speaks to its own proxy only. What it answers says who served:
//! the header `x-served-by` grows on the way back.
//!
//! This crate never knows of App Mesh, and listens on loopback only.

mod application;
mod control;
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
/// Prints `shop http://127.0.0.1:PORT` once everything listens; there it is controlled.
#[derive(Debug, Parser)]
struct Args {
    /// Who listens where, as JSON: the ports that the control plane assigned.
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
    let serving = axum::serve(listener, control::router(control));
    tokio::select! {
        served = serving.into_future() => Ok(served?),
        _ = terminated.recv() => Ok(()),
    }
}
