//! `shop-edges`: the TLS verdict of each call between given proxies.
//!
//! ```text
//!   stdin: descriptions, certificates, acknowledged fingerprints (JSON) ──▶ policy::edges ──▶ stdout: edges (JSON)
//! ```
//!
//! `cargo xtask` runs the demo. It depends on no crate of the product, so that it builds within a minute, and uses
//! this program where it needs the mesh model.
//!
//! This crate never calls a service; its caller reads everything.

mod input;
mod output;

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use jiff::Timestamp;

use input::Input;

/// The reason for a missing result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("failed to read or write: {0}")]
    Stream(#[from] io::Error),

    #[error("invalid input: {0}")]
    Json(#[from] serde_json::Error),

    #[error("invalid description of {path}: {reason}")]
    Description { path: String, reason: String },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A closed standard error leaves no place to report to.
            drop(writeln!(io::stderr(), "shop-edges: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let input: Input = serde_json::from_str(&text)?;
    let edges = output::edges(&input, Timestamp::now())?;
    serde_json::to_writer(io::stdout().lock(), &edges)?;
    Ok(())
}
