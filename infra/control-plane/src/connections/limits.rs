//! The limits on connections, and the file descriptors that they need.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// File descriptors for other uses: the store, certificates, calls to AWS and to event receivers, standard streams.
const RESERVED_FILES: u64 = 128;

/// The highest limit on open files that is set. The kernel allows more, but a descriptor table of that size
/// costs memory.
const MAX_FILE_LIMIT: u64 = 1 << 20;

/// The default number of connections. Each uses up to 100 KB while it is busy.
const DEFAULT_CONNECTIONS: usize = 16_384;

/// The default number of idle connections of one service. With 32 KiB for the head of a request on each, the idle
/// connections of both services use less than 128 MiB.
const DEFAULT_IDLE: usize = 2048;

/// The limits on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most connections in total, of the API and of proxies.
    pub total: usize,
    /// The most idle connections of the API, and the most of proxies.
    pub idle: usize,
    /// The most idle connections of one client, for the API and for proxies each.
    pub idle_per_client: usize,
    /// The timeout of a TLS handshake.
    pub handshake: Duration,
    /// The timeout of the first request's head, after the handshake.
    pub request: Duration,
    /// How long a connection may be idle after its first request. Also the timeout of a request from an unknown caller.
    pub keep_alive: Duration,
    /// How long a client may leave sent data unread.
    pub write: Duration,
}

impl ConnectionLimits {
    /// The limits that suit a limit on open files.
    #[must_use]
    pub fn for_files(files: u64) -> Self {
        let usable = files.saturating_sub(RESERVED_FILES).max(files / 2).max(8);
        let total = usize::try_from(usable).unwrap_or(DEFAULT_CONNECTIONS).min(DEFAULT_CONNECTIONS);
        let idle = (total / 4).clamp(2, DEFAULT_IDLE);
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
    /// The limits that suit the current limit on open files of this process.
    fn default() -> Self {
        Self::for_files(getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft))
    }
}

/// Raises the limit on open files to the highest value that this process may have. Returns the limit in effect.
#[must_use]
pub fn raise_file_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let wanted = hard.min(MAX_FILE_LIMIT);
    if wanted <= soft {
        return soft;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, soft, hard, "failed to raise limit on open files");
            soft
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_leave_files_for_other_uses() {
        for (files, total, idle, per_client) in
            [(16, 8, 2, 1), (256, 128, 32, 16), (1024, 896, 224, 112), (65_536, 16_384, 2048, 1024)]
        {
            let limits = ConnectionLimits::for_files(files);
            assert_eq!((limits.total, limits.idle, limits.idle_per_client), (total, idle, per_client), "{files}");
        }
    }
}
