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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::tls::{Speaker, Tls, TlsError, TlsFiles};

use super::peer::{Peer, Place, Proof};
use super::settings::{Listen, XdsAuth, XdsListener, XdsSettings};
use connection::{Connection, Io};
use socket::Socket;

/// Connections that are ready and wait to be served; more wait in the kernel.
const WAITING: usize = 128;

/// Handshakes under way at a time on one address, so that clients that begin one and fall silent take up only so much.
const HANDSHAKES: usize = 256;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

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
                    let tls = tls(settings.tls.as_ref(), auth)?;
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
    pub(super) fn connections(self) -> (Connections, JoinSet<()>) {
        let (ready, connections) = mpsc::channel(WAITING);
        let mut accepting = JoinSet::new();
        for open in self.0 {
            let ready = ready.clone();
            accepting.spawn(async move {
                let dropped = ready.clone();
                tokio::select! {
                    () = accept(open, ready) => {}
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
fn tls(files: Option<&TlsFiles>, auth: &XdsAuth) -> Result<Option<Arc<Tls>>, ListenError> {
    let client_ca = match auth {
        XdsAuth::Mtls { client_ca } => Some(client_ca.clone()),
        XdsAuth::None | XdsAuth::Unix { .. } => None,
    };
    match files {
        Some(files) => Ok(Some(Arc::new(Tls::open(Speaker::Ads, files.clone(), client_ca)?))),
        None if client_ca.is_some() => Err(ListenError::MtlsWithoutTls),
        None => Ok(None),
    }
}

async fn accept(open: Open, ready: mpsc::Sender<Connection>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let connection = match &open {
            Open::Unix(socket) => socket.accept().await.map(|(stream, peer)| Connection { io: Io::Unix(stream), peer }),
            Open::Tcp(listener, _, tls) => match (listener.accept().await, tls) {
                (Err(error), _) => Err(error),
                (Ok((stream, addr)), tls) => {
                    // Pushes are small and wanted at once.
                    let _ = stream.set_nodelay(true);
                    let place = Place::Tcp(addr);
                    let Some(tls) = tls.clone() else {
                        let peer = Peer { place, proof: Proof::None };
                        if ready.send(Connection { io: Io::Tcp(stream), peer }).await.is_err() {
                            return;
                        }
                        continue;
                    };
                    let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
                    let ready = ready.clone();
                    tokio::spawn(async move {
                        if let Some(connection) = shake_hands(&tls, stream, place).await {
                            let _ = ready.send(connection).await;
                        }
                        drop(permit);
                    });
                    continue;
                }
            },
        };
        match connection {
            Ok(connection) => {
                if ready.send(connection).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of a proxy was not accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

async fn shake_hands(tls: &Tls, stream: TcpStream, place: Place) -> Option<Connection> {
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok((stream, names))) => {
            let proof = names.map_or(Proof::None, |names| Proof::Certificate(Arc::new(names)));
            Some(Connection { io: Io::Tls(Box::new(stream)), peer: Peer { place, proof } })
        }
        Ok(Err(error)) => {
            tracing::info!(peer = %place, %error, "no TLS connection");
            None
        }
        Err(_) => {
            tracing::info!(peer = %place, "a TLS handshake was not finished in time");
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
