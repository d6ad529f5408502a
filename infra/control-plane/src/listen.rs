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

use crate::connections::{Client, Closed, ConnectionTable, Service, Slot, Watched};
use crate::log::Seldom;
use crate::tls::Tls;

/// The pause after a refusal to accept, such as for want of file descriptors: the next one would fail at once as well.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The longest head of a request over HTTP/1.1, and the most of a body that waits for its reader. An identity has up to
/// 8 KiB.
const MOST_OF_A_HEAD: usize = 32 * 1024;

/// The same over HTTP/2: the headers of one request, what may arrive unread on a stream, and on a connection.
const HEADER_LIST: u32 = 32 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// The most requests under way on one connection. A client with more opens another connection.
const STREAMS: u32 = 64;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) slot: Slot,
}

impl Peer {
    pub(crate) fn client(&self) -> Client {
        self.addr.into()
    }
}

/// Accepts and serves connections until `stop` is true, then lets the requests finish that are under way.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    table: Arc<ConnectionTable>,
    mut stop: watch::Receiver<bool>,
) {
    let tls = tls.map(Arc::new);
    let failures = Seldom::default();
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
                // Answers are small and wanted at once.
                let _ = stream.set_nodelay(true);
                let Some(slot) = table.admit(Service::Api, addr.into(), tls.is_some()) else { continue };
                let peer = Peer { addr, slot };
                connections.spawn(connection(stream, peer, tls.clone(), router.clone(), stopping.clone()));
            }
            Err(error) => {
                table.closed(Service::Api, Closed::NotAccepted);
                if let Some(suppressed) = failures.now() {
                    tracing::warn!(%error, suppressed, "failed to accept a connection to the API");
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
    peer: Peer,
    tls: Option<Arc<Tls>>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let stream = Watched::new(stream, peer.slot.clone());
    let Some(tls) = tls else { return serve_http(stream, peer, router, stop).await };
    let greeted = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => return,
        greeted = tls.accept(stream) => greeted,
    };
    match greeted {
        Ok((stream, _)) => {
            peer.slot.greeted();
            serve_http(stream, peer, router, stop).await;
        }
        Err(error) => peer.slot.handshake_failed(&error),
    }
}

async fn serve_http<IO>(io: IO, peer: Peer, router: Router, mut stop: watch::Receiver<bool>)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(MOST_OF_A_HEAD);
    builder
        .http2()
        .max_header_list_size(HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS);
    let serving = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    // How it ends is the client's affair: what this side ends is counted where it is ended.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}
