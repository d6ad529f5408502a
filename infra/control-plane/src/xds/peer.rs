//! The peer of a connection, and the proxies that it may be.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use mesh::name::AccountId;
use tonic::Status;
use xds::ProxyId;

use crate::connections::Client;
use crate::identity::{AccountToken, NodeToken};
use crate::log::Truncated;

/// The peer of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct XdsPeer {
    /// The address.
    pub(super) address: PeerAddress,
    /// The proof of its identity.
    pub(super) proof: Proof,
}

/// The address of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket on this machine.
    Unix {
        /// The path of the socket.
        path: Arc<PathBuf>,
        /// Its process, if the operating system reports it.
        pid: Option<i32>,
        /// Its user.
        uid: u32,
    },
}

/// The proof of a peer's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// No proof.
    None,
    /// A user that may be any proxy.
    User,
    /// A certificate with these names.
    Certificate(Arc<Vec<String>>),
    /// A node token is required, and was not verified.
    TokenRequired,
    /// A verified node token.
    Token(Arc<NodeToken>),
    /// A verified token of a service account.
    Account(Arc<AccountToken>),
}

impl PeerAddress {
    const fn is_local(&self) -> bool {
        match self {
            Self::Tcp(addr) => addr.ip().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

impl PeerAddress {
    /// The client that its connections are counted for.
    pub(super) fn client(&self) -> Client {
        match self {
            Self::Tcp(addr) => Client::from(*addr),
            Self::Unix { uid, .. } => Client::User(*uid),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix { path, pid: Some(pid), uid } => write!(f, "unix:{} (pid {pid}, uid {uid})", path.display()),
            Self::Unix { path, pid: None, uid } => write!(f, "unix:{} (uid {uid})", path.display()),
        }
    }
}

/// Parses the node id of a peer, and passes if it belongs to this account and the peer may be that proxy. `permits` decides
/// for service accounts. The result has no owner: it is always the account of this server.
pub(super) fn admit(
    peer: &XdsPeer,
    id: &str,
    account: &AccountId,
    permits: impl Fn(&AccountToken, &ProxyId) -> bool,
) -> Result<ProxyId, Status> {
    let id = own(id, account)?;
    match &peer.proof {
        // Only loopback addresses and sockets are opened without a proof. This check keeps keys on the machine if
        // that ever changes.
        Proof::None if !peer.address.is_local() => Err(Status::unauthenticated("this stream is not authenticated")),
        Proof::None | Proof::User => Ok(id),
        // Each stream verifies its token before this; a stream without one does not get here.
        Proof::TokenRequired => Err(Status::unauthenticated("this stream is not authenticated")),
        Proof::Token(token) if token.node == id => Ok(id),
        Proof::Token(token) => Err(Status::permission_denied(format!("the token is for {}, not for {id}", token.node))),
        Proof::Account(token) if permits(token, &id) => Ok(id),
        Proof::Account(token) => Err(Status::permission_denied(format!("{} may not be {id}", token.subject))),
        Proof::Certificate(names) => {
            let is_it = |name: &String| own(name, account).is_ok_and(|named| named == id);
            if names.iter().any(is_it) {
                Ok(id)
            } else {
                Err(Status::permission_denied(format!(
                    "the client certificate is for {}, not for {id}",
                    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
                )))
            }
        }
    }
}

fn own(id: &str, account: &AccountId) -> Result<ProxyId, Status> {
    let id: ProxyId = id
        .parse()
        .map_err(|error: xds::ProxyError| Status::invalid_argument(Truncated(&error.to_string()).to_string()))?;
    match &id.owner {
        Some(owner) if owner != account => {
            Err(not_found(&format!("{}: this server has only meshes of {account}", Truncated(&id.to_string()))))
        }
        Some(_) | None => Ok(ProxyId { owner: None, ..id }),
    }
}

/// The code that App Mesh documents for a missing resource: 3, `INVALID_ARGUMENT` in gRPC.
pub(super) fn not_found(what: &str) -> Status {
    Status::invalid_argument(format!("resource not found: {what}"))
}
