//! The command-line options that limit connections.

use std::time::Duration;

use clap::Args;
use control_plane::ConnectionLimits;

use crate::certificate_args::interval;

/// The limits on connections.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// The most connections in total, of the API and of proxies. Default: the number that the limit on open files
    /// allows, at most 16384; the server raises that limit at start to the highest value that the process may have.
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    max_connections: Option<usize>,
    /// The most idle connections of the API, and the most of proxies. A connection is idle without an authenticated
    /// request or a stream of a known proxy in progress. Default: a quarter of the total, at most 2048.
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    max_idle_connections: Option<usize>,
    /// The most idle connections of one client address, for the API and for proxies each. One more closes the
    /// client's oldest. Default: half of all idle connections.
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    max_idle_connections_per_client: Option<usize>,
    /// How long a connection may stay idle.
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = interval)]
    idle_timeout: Duration,
    /// How long a client may leave sent data unread.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = interval)]
    write_timeout: Duration,
}

impl ConnectionArgs {
    /// The limits that result from these options and the limit on open files.
    pub(crate) fn limits(&self) -> ConnectionLimits {
        let limits = ConnectionLimits::default();
        let total = self.max_connections.unwrap_or(limits.total);
        let idle = self.max_idle_connections.unwrap_or(limits.idle).min(total);
        let per_client = self.max_idle_connections_per_client.unwrap_or_else(|| limits.idle_per_client.min(idle / 2));
        let idle_per_client = per_client.clamp(1, idle);
        ConnectionLimits {
            total,
            idle,
            idle_per_client,
            keep_alive: self.idle_timeout,
            write: self.write_timeout,
            ..limits
        }
    }
}

fn at_least_two(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count >= 2).ok_or_else(|| format!("invalid number {text:?}: expected at least 2"))
}
