//! The xDS listeners: sockets, incoming connections, and their peers.

mod connection;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::connections::{Closed, ConnectionTable, LimitedIo, Service};
use crate::log::LogThrottle;
use crate::tls::{ClientTrust, Tls, TlsEndpoint, TlsError};

use super::peer::{PeerAddress, Proof, XdsPeer};
use super::settings::{ListenAddress, XdsAuth, XdsListener, XdsSettings};
pub(super) use connection::ConnectedPeer;
use connection::{Connection, Io};
use socket::Socket;

/// The most connections that wait to be served; more wait in the kernel.
const WAITING: usize = 128;

/// The pause after a failed accept, for example without free file descriptors: the next one would fail at once
/// as well.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The open sockets.
#[derive(Debug)]
pub(super) struct ListeningSockets(Vec<OpenSocket>);

#[derive(Debug)]
enum OpenSocket {
    Tcp(TcpListener, SocketAddr, Option<Arc<Tls>>, Proof),
    Unix(Socket),
}

impl ListeningSockets {
    /// Opens all sockets of the settings, or none. Listeners that would admit clients without the required proof are
    /// refused here, so that they can never be reached.
    pub(super) async fn bind(settings: &XdsSettings) -> Result<Self, ListenError> {
        for listener in &settings.listen {
            allowed(listener)?;
            if listener.auth == XdsAuth::Token && settings.tokens.is_none() {
                return Err(ListenError::TokenWithoutKeys);
            }
        }
        let mut open = Vec::new();
        for XdsListener { address, auth } in &settings.listen {
            let failed = |source| ListenError::Bind { address: address.to_string(), source };
            open.push(match address {
                ListenAddress::Tcp(addr) => {
                    let tls = tls(settings, auth)?;
                    let listener = TcpListener::bind(addr).await.map_err(failed)?;
                    let addr = listener.local_addr().map_err(failed)?;
                    let proof = if *auth == XdsAuth::Token { Proof::TokenRequired } else { Proof::None };
                    OpenSocket::Tcp(listener, addr, tls, proof)
                }
                ListenAddress::Unix(path) => {
                    let users = match auth {
                        XdsAuth::Unix { uids } => Some(uids.clone()),
                        XdsAuth::None | XdsAuth::Mtls { .. } | XdsAuth::Token => None,
                    };
                    OpenSocket::Unix(Socket::bind(path, users).map_err(failed)?)
                }
            });
        }
        Ok(Self(open))
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        let address = |open: &OpenSocket| match open {
            OpenSocket::Tcp(_, addr, ..) => ListenAddress::Tcp(*addr).to_string(),
            OpenSocket::Unix(socket) => ListenAddress::Unix(PathBuf::clone(&socket.path)).to_string(),
        };
        self.0.iter().map(address).collect()
    }

    /// The connections of all sockets, and the tasks that accept them. The tasks end and the sockets close when the
    /// receiver of the connections is dropped.
    pub(super) fn connections(self, table: &Arc<ConnectionTable>) -> (Connections, JoinSet<()>) {
        let (ready, connections) = mpsc::channel(WAITING);
        let mut accepting = JoinSet::new();
        for open in self.0 {
            let (ready, table) = (ready.clone(), Arc::clone(table));
            accepting.spawn(async move {
                let dropped = ready.clone();
                tokio::select! {
                    () = accept(open, table, ready) => {}
                    () = dropped.closed() => {}
                }
            });
        }
        (Connections(connections), accepting)
    }
}

fn allowed(XdsListener { address, auth }: &XdsListener) -> Result<(), ListenError> {
    match (address, auth) {
        (ListenAddress::Tcp(addr), XdsAuth::None) if !addr.ip().is_loopback() => {
            Err(ListenError::NotLoopback { addr: *addr })
        }
        (ListenAddress::Tcp(addr), XdsAuth::Unix { .. }) => Err(ListenError::TcpWithoutUser { addr: *addr }),
        (ListenAddress::Unix(path), XdsAuth::Token) => Err(ListenError::SocketWithoutToken { path: path.clone() }),
        (ListenAddress::Unix(path), XdsAuth::Mtls { .. }) => {
            Err(ListenError::SocketWithoutCertificate { path: path.clone() })
        }
        (ListenAddress::Tcp(_), XdsAuth::None | XdsAuth::Mtls { .. } | XdsAuth::Token)
        | (ListenAddress::Unix(_), XdsAuth::None | XdsAuth::Unix { .. }) => Ok(()),
    }
}

/// The TLS configuration of an address. Each address has its own, so that a TLS session of one cannot be resumed at
/// another with stricter requirements.
fn tls(settings: &XdsSettings, auth: &XdsAuth) -> Result<Option<Arc<Tls>>, ListenError> {
    let clients = match auth {
        XdsAuth::Mtls { client_ca } => Some(ClientTrust { ca: client_ca.clone(), crl: settings.client_crl.clone() }),
        XdsAuth::None | XdsAuth::Unix { .. } | XdsAuth::Token => None,
    };
    match &settings.tls {
        Some(files) => Ok(Some(Arc::new(Tls::open(TlsEndpoint::Ads, files.clone(), clients)?))),
        None if clients.is_some() => Err(ListenError::MtlsWithoutTls),
        None if *auth == XdsAuth::Token => Err(ListenError::TokenWithoutTls),
        None => Ok(None),
    }
}

async fn accept(open: OpenSocket, table: Arc<ConnectionTable>, ready: mpsc::Sender<Connection>) {
    let failures = LogThrottle::default();
    loop {
        let accepted = match &open {
            OpenSocket::Unix(socket) => socket.accept().await.map(|(stream, peer)| Accepted::Unix(stream, peer)),
            OpenSocket::Tcp(listener, _, tls, proof) => {
                listener.accept().await.map(|(stream, addr)| Accepted::Tcp(stream, addr, tls.clone(), proof.clone()))
            }
        };
        let connection = match accepted {
            Ok(accepted) => match admitted(accepted, &table, &ready) {
                Some(connection) => connection,
                None => continue,
            },
            Err(error) => {
                table.closed(Service::Xds, Closed::NotAccepted);
                if let Some(suppressed) = failures.allow() {
                    tracing::warn!(%error, suppressed, "failed to accept xDS connection");
                }
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        if ready.send(connection).await.is_err() {
            return;
        }
    }
}

/// An accepted connection.
enum Accepted {
    Tcp(TcpStream, SocketAddr, Option<Arc<Tls>>, Proof),
    Unix(UnixStream, XdsPeer),
}

/// A connection with a slot that can be served. A TLS connection is sent to `ready` after its handshake instead, so
/// that no other connection waits for it.
fn admitted(accepted: Accepted, table: &Arc<ConnectionTable>, ready: &mpsc::Sender<Connection>) -> Option<Connection> {
    match accepted {
        Accepted::Unix(stream, peer) => {
            let slot = table.admit(Service::Xds, peer.address.client(), false)?;
            Some(Connection { io: Io::Unix(LimitedIo::new(stream, slot)), peer })
        }
        Accepted::Tcp(stream, addr, tls, proof) => {
            // Pushes are small and latency matters.
            let _ = stream.set_nodelay(true);
            let slot = table.admit(Service::Xds, addr.into(), tls.is_some())?;
            let stream = LimitedIo::new(stream, slot);
            let address = PeerAddress::Tcp(addr);
            let Some(tls) = tls else {
                return Some(Connection { io: Io::Tcp(stream), peer: XdsPeer { address, proof } });
            };
            let ready = ready.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = ready.closed() => {}
                    connection = handshake(&tls, stream, address, proof) => {
                        if let Some(connection) = connection {
                            let _ = ready.send(connection).await;
                        }
                    }
                }
            });
            None
        }
    }
}

async fn handshake(tls: &Tls, stream: LimitedIo<TcpStream>, address: PeerAddress, proof: Proof) -> Option<Connection> {
    let slot = stream.slot().clone();
    match tls.accept(stream).await {
        Ok((stream, names)) => {
            slot.handshake_done();
            let proof = names.map_or(proof, |names| Proof::Certificate(Arc::new(names)));
            Some(Connection { io: Io::Tls(Box::new(stream)), peer: XdsPeer { address, proof } })
        }
        Err(error) => {
            slot.handshake_failed(&error);
            None
        }
    }
}

/// The connections that are ready to be served.
#[derive(Debug)]
pub(super) struct Connections(mpsc::Receiver<Connection>);

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

/// The ADS server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Without authentication, any client in the network would receive private keys.
    #[error(
        "xDS cannot be served on {addr} with auth=none: it is not a loopback address, so any client that reaches it would receive private keys; use 127.0.0.1, a socket (unix:PATH), or {addr},auth=mtls"
    )]
    NotLoopback {
        /// The address of the settings.
        addr: SocketAddr,
    },
    /// A TCP connection has no user.
    #[error("xDS cannot be served on {addr} with auth=unix: only a socket (unix:PATH) has the user of a connection")]
    TcpWithoutUser {
        /// The address of the settings.
        addr: SocketAddr,
    },
    /// A connection through a socket has no certificate.
    #[error(
        "xDS cannot be served on unix:{0} with auth=mtls; use an address, or unix:{0},auth=unix",
        path.display()
    )]
    SocketWithoutCertificate {
        /// The socket of the settings.
        path: PathBuf,
    },
    /// A token through a socket would not be encrypted, and a socket has the user of its peer.
    #[error("xDS cannot be served on unix:{0} with auth=token; use an address, or unix:{0},auth=unix", path.display())]
    SocketWithoutToken {
        /// The socket of the settings.
        path: PathBuf,
    },
    /// Tokens are required, but would not be encrypted.
    #[error("auth=token needs --xds-tls-cert and --xds-tls-key")]
    TokenWithoutTls,
    /// Tokens are required, but no key verifies them.
    #[error("auth=token needs --token-key and --xds-audience")]
    TokenWithoutKeys,
    /// Client certificates are required, but TLS is not configured.
    #[error("auth=mtls needs --xds-tls-cert and --xds-tls-key")]
    MtlsWithoutTls,
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system refuses the address.
    #[error("failed to listen for xDS on {address}: {source}")]
    Bind {
        /// The address or socket of the settings.
        address: String,
        /// The I/O error.
        source: io::Error,
    },
}
