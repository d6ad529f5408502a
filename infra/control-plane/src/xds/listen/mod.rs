//! Open sockets, the connections that come in, and who is at their other end.

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

use crate::connections::{Closed, ConnectionTable, Service, Watched};
use crate::log::Seldom;
use crate::tls::{ClientTrust, Speaker, Tls, TlsError};

use super::peer::{Peer, Place, Proof};
use super::settings::{Listen, XdsAuth, XdsListener, XdsSettings};
pub(super) use connection::Guest;
use connection::{Connection, Io};
use socket::Socket;

/// Connections that are ready and wait to be served; more wait in the kernel.
const WAITING: usize = 128;

/// The pause after a refusal to accept, such as for want of file descriptors: the next one would fail at once as well.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Sockets that are open.
#[derive(Debug)]
pub(super) struct Listening(Vec<Open>);

#[derive(Debug)]
enum Open {
    Tcp(TcpListener, SocketAddr, Option<Arc<Tls>>),
    Unix(Socket),
}

impl Listening {
    /// Opens all of the settings' sockets, or none. What would let somebody in without the proof that the settings ask
    /// for is refused here, and so can't be reached at all.
    pub(super) async fn bind(settings: &XdsSettings) -> Result<Self, ListenError> {
        for listener in &settings.listen {
            allowed(listener)?;
        }
        let mut open = Vec::new();
        for XdsListener { place, auth } in &settings.listen {
            let failed = |source| ListenError::Place { place: place.to_string(), source };
            open.push(match place {
                Listen::Tcp(addr) => {
                    let tls = tls(settings, auth)?;
                    let listener = TcpListener::bind(addr).await.map_err(failed)?;
                    let addr = listener.local_addr().map_err(failed)?;
                    Open::Tcp(listener, addr, tls)
                }
                Listen::Unix(path) => {
                    let users = match auth {
                        XdsAuth::Unix { uids } => Some(uids.clone()),
                        XdsAuth::None | XdsAuth::Mtls { .. } => None,
                    };
                    Open::Unix(Socket::bind(path, users).map_err(failed)?)
                }
            });
        }
        Ok(Self(open))
    }

    pub(super) fn places(&self) -> Vec<String> {
        let place = |open: &Open| match open {
            Open::Tcp(_, addr, _) => Listen::Tcp(*addr).to_string(),
            Open::Unix(socket) => Listen::Unix(PathBuf::clone(&socket.path)).to_string(),
        };
        self.0.iter().map(place).collect()
    }

    /// The connections of all of them, and the tasks that accept them: they end, and the sockets close, once nobody
    /// takes the connections any more.
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

fn allowed(XdsListener { place, auth }: &XdsListener) -> Result<(), ListenError> {
    match (place, auth) {
        (Listen::Tcp(addr), XdsAuth::None) if !addr.ip().is_loopback() => Err(ListenError::NotLoopback { addr: *addr }),
        (Listen::Tcp(addr), XdsAuth::Unix { .. }) => Err(ListenError::TcpWithoutUser { addr: *addr }),
        (Listen::Unix(path), XdsAuth::Mtls { .. }) => Err(ListenError::SocketWithoutCertificate { path: path.clone() }),
        (Listen::Tcp(_), XdsAuth::None | XdsAuth::Mtls { .. })
        | (Listen::Unix(_), XdsAuth::None | XdsAuth::Unix { .. }) => Ok(()),
    }
}

/// What an address shows and asks for. Each has its own, so that no session that was begun at one is gone on with at
/// another that asks for more.
fn tls(settings: &XdsSettings, auth: &XdsAuth) -> Result<Option<Arc<Tls>>, ListenError> {
    let clients = match auth {
        XdsAuth::Mtls { client_ca } => Some(ClientTrust { ca: client_ca.clone(), crl: settings.client_crl.clone() }),
        XdsAuth::None | XdsAuth::Unix { .. } => None,
    };
    match &settings.tls {
        Some(files) => Ok(Some(Arc::new(Tls::open(Speaker::Ads, files.clone(), clients)?))),
        None if clients.is_some() => Err(ListenError::MtlsWithoutTls),
        None => Ok(None),
    }
}

async fn accept(open: Open, table: Arc<ConnectionTable>, ready: mpsc::Sender<Connection>) {
    let failures = Seldom::default();
    loop {
        let accepted = match &open {
            Open::Unix(socket) => socket.accept().await.map(|(stream, peer)| Accepted::Unix(stream, peer)),
            Open::Tcp(listener, _, tls) => {
                listener.accept().await.map(|(stream, addr)| Accepted::Tcp(stream, addr, tls.clone()))
            }
        };
        let connection = match accepted {
            Ok(accepted) => match admitted(accepted, &table, &ready) {
                Some(connection) => connection,
                None => continue,
            },
            Err(error) => {
                table.closed(Service::Xds, Closed::NotAccepted);
                if let Some(suppressed) = failures.now() {
                    tracing::warn!(%error, suppressed, "failed to accept a connection of a proxy");
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

/// What a socket accepted.
enum Accepted {
    Tcp(TcpStream, SocketAddr, Option<Arc<Tls>>),
    Unix(UnixStream, Peer),
}

/// A connection that has its place and can be served; one with TLS is sent on once its handshake is done, for which no
/// other waits.
fn admitted(accepted: Accepted, table: &Arc<ConnectionTable>, ready: &mpsc::Sender<Connection>) -> Option<Connection> {
    match accepted {
        Accepted::Unix(stream, peer) => {
            let slot = table.admit(Service::Xds, peer.place.client(), false)?;
            Some(Connection { io: Io::Unix(Watched::new(stream, slot)), peer })
        }
        Accepted::Tcp(stream, addr, tls) => {
            // Pushes are small and wanted at once.
            let _ = stream.set_nodelay(true);
            let slot = table.admit(Service::Xds, addr.into(), tls.is_some())?;
            let stream = Watched::new(stream, slot);
            let place = Place::Tcp(addr);
            let Some(tls) = tls else {
                return Some(Connection { io: Io::Tcp(stream), peer: Peer { place, proof: Proof::None } });
            };
            let ready = ready.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = ready.closed() => {}
                    connection = greet(&tls, stream, place) => {
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

async fn greet(tls: &Tls, stream: Watched<TcpStream>, place: Place) -> Option<Connection> {
    let slot = stream.slot().clone();
    match tls.accept(stream).await {
        Ok((stream, names)) => {
            slot.greeted();
            let proof = names.map_or(Proof::None, |names| Proof::Certificate(Arc::new(names)));
            Some(Connection { io: Io::Tls(Box::new(stream)), peer: Peer { place, proof } })
        }
        Err(error) => {
            slot.handshake_failed(&error);
            None
        }
    }
}

/// The connections that are ready.
#[derive(Debug)]
pub(super) struct Connections(mpsc::Receiver<Connection>);

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

/// Why the ADS server can't listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Whoever reached it would be sent private keys.
    #[error(
        "Envoys can't be served on {addr} with auth=none: it is not a loopback address, and whoever reached it would be sent private keys; use 127.0.0.1, a socket (unix:PATH), or {addr},auth=mtls"
    )]
    NotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// A TCP connection has no user.
    #[error("Envoys can't be served on {addr} with auth=unix: only a socket (unix:PATH) tells who connects")]
    TcpWithoutUser {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// A connection through a socket shows no certificate.
    #[error(
        "Envoys can't be served on unix:{0} with auth=mtls: use an address, or unix:{0},auth=unix",
        path.display()
    )]
    SocketWithoutCertificate {
        /// The socket asked for.
        path: PathBuf,
    },
    /// Clients are to show a certificate, and there is no TLS to do so in.
    #[error("auth=mtls needs --xds-tls-cert and --xds-tls-key")]
    MtlsWithoutTls,
    /// The certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system refuses it.
    #[error("listen for Envoys on {place}: {source}")]
    Place {
        /// The address or socket asked for.
        place: String,
        /// Why.
        source: io::Error,
    },
}
