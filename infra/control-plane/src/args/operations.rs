//! The command-line options of operations: metrics, logs, and the file of settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::address::address;

/// Metrics, logs, and the file of settings.
#[derive(Debug, Args)]
pub(crate) struct OperationsArgs {
    /// Serves metrics and health checks without authentication on this address: `ADDR:PORT`, or a port of 127.0.0.1.
    /// Prints `metrics http://ADDR:PORT`.
    #[arg(long, value_name = "ADDR", value_parser = metrics_address)]
    pub(super) metrics: Option<SocketAddr>,
    /// The format of the log on standard error: `text`, or `json`, one object a line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// A JSON file of settings, named as these options: `{"account": "123456789012", "xds": ["0.0.0.0:18000"]}`. A
    /// flag overrides an environment variable such as `MESHWARDEN_ACCOUNT`, which overrides the file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The formats of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

impl OperationsArgs {
    /// The format of the log.
    pub(crate) const fn log_format(&self) -> LogFormat {
        self.log_format
    }
}

fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => address(text),
    }
}
