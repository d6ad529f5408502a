//! The listener for operations: metrics and health checks, without authentication, on a separate address.
//!
//! It serves no resource and no name of one, so that a scraper needs no key. Its connections have separate limits: a
//! scraper that misbehaves takes nothing from callers of the API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::log::LogThrottle;

/// The most connections at a time. A scraper opens one every few seconds.
const MAX_CONNECTIONS: usize = 32;

/// How long a connection may take, with its request and its response.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The pause after a failed accept.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A bound listener for operations.
#[derive(Debug)]
pub(crate) struct OperationsListener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl OperationsListener {
    pub(crate) async fn bind(addr: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves one request for each connection until `stop` is true.
    pub(crate) async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let failures = LogThrottle::default();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Above the limit the connection is closed at once: its client tries again.
                    let Ok(permit) = Arc::clone(&free).try_acquire_owned() else { continue };
                    let router = router.clone();
                    tokio::spawn(async move {
                        let _permit = permit;
                        let _ = timeout(TIME_LIMIT, serve_one(stream, router)).await;
                    });
                }
                Err(error) => {
                    if let Some(suppressed) = failures.allow() {
                        tracing::warn!(%error, suppressed, "failed to accept connection for operations");
                    }
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }
}

async fn serve_one(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    // The client decides how the connection ends, so the result is ignored.
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
}
