//! The limits on connections of the API and of proxies: their number, their duration, and the one to close for a new
//! one.
//!
//! ```text
//!   accept --> table: room? --no--> close the oldest idle one of this client, or of the client with the most --> slot
//!                                                                                                                 |
//!   sweep, twice a second: past its deadline? --------------------------------> slot closed --> reads fail, the task ends
//! ```
//!
//! A connection is *busy* while it carries an authenticated request or the stream of a known proxy. It is *idle*
//! otherwise, also during its handshake or first request. Only idle connections are ever closed. A client that opens
//! more than its share replaces its own oldest connections, so a flood never blocks another connection, even one from
//! the same address.

mod budget;
mod io;
mod limits;
mod metrics;
mod table;

pub(crate) use budget::{BodyBudget, BodyBudgetLimits, Reservation};
pub(crate) use io::LimitedIo;
pub use limits::{ConnectionLimits, raise_file_limit};
pub(crate) use metrics::ConnectionMetrics;
pub(crate) use table::{Busy, ConnectionTable, Slot, UnauthenticatedRequest};

use std::net::{IpAddr, SocketAddr};

/// The service of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Service {
    /// The App Mesh API.
    Api,
    /// The ADS server.
    Xds,
}

impl Service {
    pub(crate) const ALL: [Self; 2] = [Self::Api, Self::Xds];

    /// The label value in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Xds => "xds",
        }
    }
}

/// The client that connections are counted for: an IPv4 address, the /64 network of an IPv6 address (one machine can
/// use all of it), or a user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Client {
    /// An IPv4 address.
    V4(u32),
    /// The network part of an IPv6 address.
    V6(u64),
    /// A user, connected through a socket in the file system.
    User(u32),
}

impl From<SocketAddr> for Client {
    fn from(addr: SocketAddr) -> Self {
        match addr.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6(u64::try_from(ip.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }
}

/// The reason why this side closed a connection, or did not serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Closed {
    /// The TLS handshake was not finished in time.
    HandshakeTimeout = 1,
    /// No complete request arrived in time.
    RequestTimeout = 2,
    /// The connection was idle for too long.
    IdleTimeout = 3,
    /// The client left sent data unread for too long.
    WriteTimeout = 4,
    /// Another connection of the same client replaced it.
    ClientShare = 5,
    /// Another connection replaced it, since there were too many in total.
    Crowded = 6,
    /// All connections were in use, and none was idle to be closed.
    Refused = 7,
    /// The TLS handshake failed.
    HandshakeFailed = 8,
    /// The operating system could not accept it, for example without free file descriptors.
    NotAccepted = 9,
}

impl Closed {
    pub(crate) const ALL: [Self; 9] = [
        Self::HandshakeTimeout,
        Self::RequestTimeout,
        Self::IdleTimeout,
        Self::WriteTimeout,
        Self::ClientShare,
        Self::Crowded,
        Self::Refused,
        Self::HandshakeFailed,
        Self::NotAccepted,
    ];

    /// The label value in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::HandshakeTimeout => "handshake_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::ClientShare => "client_share",
            Self::Crowded => "crowded",
            Self::Refused => "refused",
            Self::HandshakeFailed => "handshake_failed",
            Self::NotAccepted => "not_accepted",
        }
    }
}
