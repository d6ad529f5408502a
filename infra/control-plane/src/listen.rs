//! Connections to the API: accepted at once, with or without TLS, and served within the limits on connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::connections::{Client, Closed, ConnectionTable, LimitedIo, Service, Slot};
use crate::log::LogThrottle;
use crate::tls::Tls;

/// The pause after a failed accept, for example without free file descriptors: the next one would fail at once
/// as well.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The longest head of a request over HTTP/1.1, and the most of a body that waits for its reader, in bytes. An
/// identity header has up to 8 KiB.
const MAX_REQUEST_HEAD: usize = 32 * 1024;

/// The limits over HTTP/2, in bytes: the headers of a request, and the unread data of a stream and of a connection.
const MAX_HEADER_LIST: u32 = 32 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// The most concurrent requests on one connection. A client with more opens another connection.
const MAX_STREAMS: u32 = 64;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct ApiPeer {
    pub(crate) addr: SocketAddr,
    pub(crate) slot: Slot,
}

impl ApiPeer {
    pub(crate) fn client(&self) -> Client {
        self.addr.into()
    }
}

/// Accepts and serves connections until `stop` is true, then completes the requests in progress.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    table: Arc<ConnectionTable>,
    mut stop: watch::Receiver<bool>,
) {
    let tls = tls.map(Arc::new);
    let failures = LogThrottle::default();
    let stopping = stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                // Responses are small and latency matters.
                let _ = stream.set_nodelay(true);
                let Some(slot) = table.admit(Service::Api, addr.into(), tls.is_some()) else { continue };
                let peer = ApiPeer { addr, slot };
                connections.spawn(connection(stream, peer, tls.clone(), router.clone(), stopping.clone()));
            }
            Err(error) => {
                table.closed(Service::Api, Closed::NotAccepted);
                if let Some(suppressed) = failures.allow() {
                    tracing::warn!(%error, suppressed, "failed to accept API connection");
                }
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: ApiPeer,
    tls: Option<Arc<Tls>>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let stream = LimitedIo::new(stream, peer.slot.clone());
    let Some(tls) = tls else { return serve_http(stream, peer, router, stop).await };
    let handshake = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => return,
        handshake = tls.accept(stream) => handshake,
    };
    match handshake {
        Ok((stream, _)) => {
            peer.slot.handshake_done();
            serve_http(stream, peer, router, stop).await;
        }
        Err(error) => peer.slot.handshake_failed(&error),
    }
}

async fn serve_http<IO>(io: IO, peer: ApiPeer, router: Router, mut stop: watch::Receiver<bool>)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(MAX_REQUEST_HEAD);
    builder
        .http2()
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS);
    let serving = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    // The client decides how the connection ends, so the result is ignored; closes by this side are counted where
    // they occur.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}
