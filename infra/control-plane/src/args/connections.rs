//! The bounds on connections, on the command line.

use std::time::Duration;

use clap::Args;
use control_plane::ConnectionLimits;

use crate::certificate_args::interval;

/// The bounds on connections.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// The most connections in all, of the API and of proxies. By default what the limit on open files leaves room for,
    /// 16384 at most; the limit is raised at start to the most that the process may have.
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    max_connections: Option<usize>,
    /// The most idle connections of the API, and the most of proxies: those without an authenticated request or a
    /// stream of a known proxy under way. By default a quarter of all, 2048 at most.
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    max_idle_connections: Option<usize>,
    /// The most idle connections of one client address, for each of both. One more closes the client's oldest. By
    /// default half of all idle ones.
    #[arg(long, value_name = "N", value_parser = at_least_two)]
    max_idle_connections_per_client: Option<usize>,
    /// How long a connection may be idle.
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = interval)]
    idle_timeout: Duration,
    /// How long a client may leave what it is sent unread.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = interval)]
    write_timeout: Duration,
}

impl ConnectionArgs {
    /// The bounds that these and the limit on open files lead to.
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
    text.parse().ok().filter(|count| *count >= 2).ok_or_else(|| format!("{text:?} is not a number of at least 2"))
}
