//! A connection with reads and writes that fail once the table closes it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Slot;
use super::table::ConnectionState;

/// A stream that occupies a slot of the connection table while it exists.
#[derive(Debug)]
pub(crate) struct LimitedIo<T> {
    io: T,
    shared: Arc<ConnectionState>,
    slot: Slot,
}

impl<T> LimitedIo<T> {
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

    /// Records whether a write waits for the client to read.
    fn wrote<R>(&self, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        self.shared.stalled.store(outcome.is_pending(), Ordering::Relaxed);
        outcome
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LimitedIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Register before the check, so that a close between the two is not missed.
        self.shared.reading.register(cx.waker());
        self.check()?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LimitedIo<T> {
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
