//! A connection whose reads and writes fail once the table closes it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Slot;
use super::table::Shared;

/// A stream that has a slot in the table of connections for as long as it exists.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    io: T,
    shared: Arc<Shared>,
    slot: Slot,
}

impl<T> Watched<T> {
    pub(crate) fn new(io: T, slot: Slot) -> Self {
        Self { io, shared: slot.shared(), slot }
    }

    pub(crate) const fn slot(&self) -> &Slot {
        &self.slot
    }

    fn check(&self) -> io::Result<()> {
        if self.shared.is_closed() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by the limits on connections"));
        }
        Ok(())
    }

    /// Takes down whether a write waits for the client.
    fn wrote<R>(&self, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        self.shared.stalled.store(outcome.is_pending(), Ordering::Relaxed);
        outcome
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Before the check, so that no close is missed between the two.
        self.shared.reading.register(cx.waker());
        self.check()?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.writing.register(cx.waker());
        self.check()?;
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.writing.register(cx.waker());
        self.check()?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.writing.register(cx.waker());
        self.check()?;
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
