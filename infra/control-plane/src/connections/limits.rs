//! How many connections there may be, and the files that they need.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that are not for connections: the store, certificates, calls to AWS and to receivers of events, standard
/// streams.
const RESERVED_FILES: u64 = 128;

/// No limit on files is raised above this: the kernel allows more, and a table of that size costs memory.
const MOST_FILES: u64 = 1 << 20;

/// The most connections, where nothing else is said. Each costs up to 100 KB while it is in use.
const MOST_CONNECTIONS: usize = 16_384;

/// The most idle connections of one service, where nothing else is said. With 32 KiB for the head of a request on each,
/// those of both services stay below 128 MiB.
const MOST_IDLE: usize = 2048;

/// The bounds on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most connections in all, of the API and of proxies.
    pub total: usize,
    /// The most idle connections of the API, and the most of proxies.
    pub idle: usize,
    /// The most idle connections of one client, for each of both.
    pub idle_per_client: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the first request, with its head complete, may take after that.
    pub request: Duration,
    /// How long a connection may be idle after its first request, and the body of a request may take whose caller is
    /// not known.
    pub keep_alive: Duration,
    /// How long a client may leave what it is sent unread.
    pub write: Duration,
}

impl ConnectionLimits {
    /// The bounds that go with a limit on open files.
    #[must_use]
    pub fn for_files(files: u64) -> Self {
        let usable = files.saturating_sub(RESERVED_FILES).max(files / 2).max(8);
        let total = usize::try_from(usable).unwrap_or(MOST_CONNECTIONS).min(MOST_CONNECTIONS);
        let idle = (total / 4).clamp(2, MOST_IDLE);
        Self {
            total,
            idle,
            idle_per_client: (idle / 2).max(1),
            handshake: Duration::from_secs(4),
            request: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write: Duration::from_secs(30),
        }
    }
}

impl Default for ConnectionLimits {
    /// Those that go with this process' limit on open files as it is now.
    fn default() -> Self {
        Self::for_files(getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft))
    }
}

/// Raises this process' limit on open files to the most that it may have. Returns the limit in force.
#[must_use]
pub fn raise_file_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let wanted = hard.min(MOST_FILES);
    if wanted <= soft {
        return soft;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, soft, hard, "failed to raise the limit on open files");
            soft
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_leave_files_for_everything_else() {
        for (files, total, idle, per_client) in
            [(16, 8, 2, 1), (256, 128, 32, 16), (1024, 896, 224, 112), (65_536, 16_384, 2048, 1024)]
        {
            let limits = ConnectionLimits::for_files(files);
            assert_eq!((limits.total, limits.idle, limits.idle_per_client), (total, idle, per_client), "{files}");
        }
    }
}
