//! A connection over TCP, TLS or a Unix socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::super::peer::XdsPeer;
use crate::connections::{LimitedIo, Slot};

/// A connection and its peer.
#[derive(Debug)]
pub(in crate::xds) struct Connection {
    pub(super) io: Io,
    pub(super) peer: XdsPeer,
}

#[derive(Debug)]
pub(super) enum Io {
    Tcp(LimitedIo<TcpStream>),
    Tls(Box<TlsStream<LimitedIo<TcpStream>>>),
    Unix(LimitedIo<UnixStream>),
}

/// A peer and the slot of its connection.
#[derive(Debug, Clone)]
pub(in crate::xds) struct ConnectedPeer {
    pub(in crate::xds) peer: XdsPeer,
    pub(in crate::xds) slot: Slot,
}

impl Connected for Connection {
    type ConnectInfo = ConnectedPeer;

    fn connect_info(&self) -> ConnectedPeer {
        let slot = match &self.io {
            Io::Tcp(io) => io.slot(),
            Io::Tls(io) => io.get_ref().0.slot(),
            Io::Unix(io) => io.slot(),
        };
        ConnectedPeer { peer: self.peer.clone(), slot: slot.clone() }
    }
}

/// Does the same to each kind of connection.
macro_rules! with_io {
    ($connection:expr, $io:ident => $do:expr) => {
        match &mut $connection.get_mut().io {
            Io::Tcp($io) => $do,
            Io::Tls($io) => $do,
            Io::Unix($io) => $do,
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

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with_io!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
            Io::Unix(io) => io.is_write_vectored(),
        }
    }
}
