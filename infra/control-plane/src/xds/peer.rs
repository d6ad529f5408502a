//! Who is at the other end of a connection, and which proxy it may be.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use mesh::name::AccountId;
use tonic::Status;
use xds::ProxyId;

use crate::connections::Client;
use crate::log::Short;

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    /// Where it is.
    pub(super) place: Place,
    /// What it proved to be.
    pub(super) proof: Proof,
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At an address.
    Tcp(SocketAddr),
    /// On this machine, by a socket in the file system.
    Unix {
        /// The socket.
        path: Arc<PathBuf>,
        /// Its process, where the system says.
        pid: Option<i32>,
        /// Its user.
        uid: u32,
    },
}

/// What a peer proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing.
    None,
    /// A user that may be any proxy.
    User,
    /// The holder of a certificate with these names.
    Certificate(Arc<Vec<String>>),
}

impl Place {
    const fn is_local(&self) -> bool {
        match self {
            Self::Tcp(addr) => addr.ip().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

impl Place {
    /// Whom its connections are counted for.
    pub(super) fn client(&self) -> Client {
        match self {
            Self::Tcp(addr) => Client::from(*addr),
            Self::Unix { uid, .. } => Client::User(*uid),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix { path, pid: Some(pid), uid } => write!(f, "unix:{} (pid {pid}, uid {uid})", path.display()),
            Self::Unix { path, pid: None, uid } => write!(f, "unix:{} (uid {uid})", path.display()),
        }
    }
}

/// Reads the id that a peer gives itself, and passes if it is one of ours and the peer may be it. The id has no owner
/// afterwards: it is always the account that is served.
pub(super) fn admit(peer: &Peer, id: &str, account: &AccountId) -> Result<ProxyId, Status> {
    let id = own(id, account)?;
    match &peer.proof {
        // Only loopback addresses and sockets are ever opened without a proof: were it otherwise, keys would leave the
        // machine here.
        Proof::None if !peer.place.is_local() => Err(Status::unauthenticated("this stream is not authenticated")),
        Proof::None | Proof::User => Ok(id),
        Proof::Certificate(names) => {
            let is_it = |name: &String| own(name, account).is_ok_and(|named| named == id);
            if names.iter().any(is_it) {
                Ok(id)
            } else {
                Err(Status::permission_denied(format!(
                    "the client certificate is for {}, not for {id}",
                    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
                )))
            }
        }
    }
}

fn own(id: &str, account: &AccountId) -> Result<ProxyId, Status> {
    let id: ProxyId =
        id.parse().map_err(|error: xds::ProxyError| Status::invalid_argument(Short(&error.to_string()).to_string()))?;
    match &id.owner {
        Some(owner) if owner != account => {
            Err(not_found(&format!("{}: only meshes of {account} are served here", Short(&id.to_string()))))
        }
        Some(_) | None => Ok(ProxyId { owner: None, ..id }),
    }
}

/// The code that App Mesh documents for a resource that does not exist: 3, which gRPC calls an invalid argument.
pub(super) fn not_found(what: &str) -> Status {
    Status::invalid_argument(format!("resource not found: {what}"))
}
