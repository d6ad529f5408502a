//! Connections of the API and of proxies: how many there may be, for how long, and which is closed for another.
//!
//! ```text
//!   accept --> table: room? --no--> close the idlest of the same client, else of the greediest --> slot
//!                                                                                                   |
//!   sweep, twice a second: past its deadline? --------------------------> slot closed --> reads fail, the task ends
//! ```
//!
//! A connection is *busy* while it carries an authenticated request or the stream of a known proxy, and *idle*
//! otherwise, also while its handshake or first request is under way. Only idle connections are ever closed: a client
//! that opens more than its share replaces its own oldest ones, so a flood never keeps another connection out, not even
//! one from the same address.

mod budget;
mod io;
mod limits;
mod table;

pub(crate) use budget::{BodyBudget, BodyBudgetLimits, Reservation};
pub(crate) use io::Watched;
pub use limits::{ConnectionLimits, raise_file_limit};
pub(crate) use table::{Busy, ConnectionTable, Heard, Slot};

use std::net::{IpAddr, SocketAddr};

/// What serves a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Service {
    /// The App Mesh API.
    Api,
    /// The ADS server.
    Xds,
}

impl Service {
    pub(crate) const ALL: [Self; 2] = [Self::Api, Self::Xds];

    /// As label values are written.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Xds => "xds",
        }
    }
}

/// The client that connections are counted for: an IPv4 address, the /64 network of an IPv6 address (which one machine
/// can have all of), or a user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Client {
    /// An IPv4 address.
    V4(u32),
    /// The network part of an IPv6 address.
    V6(u64),
    /// A user, through a socket in the file system.
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

/// Why a connection was closed by this side, or never served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Closed {
    /// The TLS handshake was not finished in time.
    HandshakeTimeout = 1,
    /// No whole request came in time.
    RequestTimeout = 2,
    /// Nothing was sent for too long.
    IdleTimeout = 3,
    /// The client did not read what it was sent.
    WriteTimeout = 4,
    /// Another connection of the same client took its place.
    ClientShare = 5,
    /// Another connection took its place, since there were too many in all.
    Crowded = 6,
    /// There was no room, and no idle connection to close for it.
    Refused = 7,
    /// The TLS handshake failed.
    HandshakeFailed = 8,
    /// The system could not accept it, such as for want of file descriptors.
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

    /// As label values are written.
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
