//! Open sockets, and the connections that come in.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::transport::server::Connected;

use super::peer::{Peer, Place, Proof};
use super::settings::{Listen, XdsSettings};

/// Connections that are ready and wait to be served; more wait in the kernel.
const WAITING: usize = 128;

/// The pause after a refusal to accept, such as for want of file descriptors: the next one would fail at once as well.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Sockets that are open.
#[derive(Debug)]
pub(super) struct Listening {
    sockets: Vec<Socket>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, SocketAddr),
}

impl Listening {
    pub(super) async fn bind(settings: &XdsSettings) -> Result<Self, ListenError> {
        let mut sockets = Vec::new();
        for listen in &settings.listen {
            sockets.push(bind(listen).await?);
        }
        Ok(Self { sockets })
    }

    pub(super) fn places(&self) -> Vec<String> {
        let place = |socket: &Socket| match socket {
            Socket::Tcp(_, addr) => Listen::Tcp(*addr).to_string(),
        };
        self.sockets.iter().map(place).collect()
    }

    /// The connections of all of them, until it is dropped.
    pub(super) fn connections(self) -> Connections {
        let (ready, connections) = mpsc::channel(WAITING);
        for socket in self.sockets {
            let ready = ready.clone();
            tokio::spawn(async move {
                let closed = ready.clone();
                tokio::select! {
                    () = accept(socket, ready) => {}
                    () = closed.closed() => {}
                }
            });
        }
        Connections(connections)
    }
}

async fn bind(listen: &Listen) -> Result<Socket, ListenError> {
    match listen {
        Listen::Tcp(addr) if !addr.ip().is_loopback() => Err(ListenError::NotLoopback { addr: *addr }),
        Listen::Tcp(addr) => {
            let taken = |source| ListenError::Place { place: listen.to_string(), source };
            let listener = TcpListener::bind(addr).await.map_err(taken)?;
            let addr = listener.local_addr().map_err(taken)?;
            Ok(Socket::Tcp(listener, addr))
        }
        Listen::Unix(_) => {
            Err(ListenError::Place { place: listen.to_string(), source: io::Error::from(io::ErrorKind::Unsupported) })
        }
    }
}

async fn accept(socket: Socket, ready: mpsc::Sender<Connection>) {
    loop {
        let connection = match &socket {
            Socket::Tcp(listener, _) => listener.accept().await.map(|(stream, addr)| {
                // Pushes are small and wanted at once.
                let _ = stream.set_nodelay(true);
                Connection { io: Io::Tcp(stream), peer: Peer { place: Place::Tcp(addr), proof: Proof::None } }
            }),
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

/// The connections that are ready.
#[derive(Debug)]
pub(super) struct Connections(mpsc::Receiver<Connection>);

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

/// A connection, and who is at its other end.
#[derive(Debug)]
pub(super) struct Connection {
    io: Io,
    peer: Peer,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Does the same to whatever a connection is made of.
macro_rules! with_io {
    ($connection:expr, $io:ident => $do:expr) => {
        match &mut $connection.get_mut().io {
            Io::Tcp($io) => $do,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        with_io!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        with_io!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_io!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_io!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}

/// Why the ADS server can't listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Whoever reached it would be sent private keys.
    #[error("{addr} is not a loopback address, and streams are not authenticated")]
    NotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The system refuses it.
    #[error("listen for xds on {place}")]
    Place {
        /// The address or socket asked for.
        place: String,
        /// Why.
        source: io::Error,
    },
}
