//! A connection, whatever it is made of.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::super::peer::Peer;
use crate::connections::{Slot, Watched};

/// A connection, and who is at its other end.
#[derive(Debug)]
pub(in crate::xds) struct Connection {
    pub(super) io: Io,
    pub(super) peer: Peer,
}

#[derive(Debug)]
pub(super) enum Io {
    Tcp(Watched<TcpStream>),
    Tls(Box<TlsStream<Watched<TcpStream>>>),
    Unix(Watched<UnixStream>),
}

/// A peer, and its connection's place among all connections.
#[derive(Debug, Clone)]
pub(in crate::xds) struct Guest {
    pub(in crate::xds) peer: Peer,
    pub(in crate::xds) slot: Slot,
}

impl Connected for Connection {
    type ConnectInfo = Guest;

    fn connect_info(&self) -> Guest {
        let slot = match &self.io {
            Io::Tcp(io) => io.slot(),
            Io::Tls(io) => io.get_ref().0.slot(),
            Io::Unix(io) => io.slot(),
        };
        Guest { peer: self.peer.clone(), slot: slot.clone() }
    }
}

/// Does the same to whatever a connection is made of.
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
