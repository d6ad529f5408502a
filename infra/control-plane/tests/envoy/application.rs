//! An application in the test, behind a node's proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::websocket;

/// How an application responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Returns its name, the path and the headers of the request.
    Echo,
    /// Fails this number of requests with a status, and echoes the rest.
    FailFirst(u64, u16),
    /// Responds after a delay.
    Slow(Duration),
    /// Responds like a gRPC server.
    Grpc,
    /// A TCP server that sends its name to each client.
    Tcp,
}

/// Runs until it is dropped.
pub(crate) struct Application {
    state: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    name: String,
    behaviour: Behaviour,
    requests: AtomicU64,
    status: AtomicU16,
}

impl Application {
    pub(crate) async fn start(name: &str, address: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let state = Arc::new(Shared {
            name: name.to_owned(),
            behaviour,
            requests: AtomicU64::new(0),
            status: AtomicU16::new(200),
        });
        let shared = Arc::clone(&state);
        let serving = if behaviour == Behaviour::Tcp {
            tokio::spawn(serve_tcp(listener, shared))
        } else {
            let router = Router::new().fallback(answer).with_state(shared);
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
        };
        Self { state, serving }
    }

    /// The number of requests, health checks excluded.
    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Responds with this status from now on.
    pub(crate) fn answer_with(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }
}

impl Application {
    /// Ends it, and waits until its port is free.
    pub(crate) async fn stop(mut self) {
        self.serving.abort();
        drop((&mut self.serving).await);
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if request.uri().path() == "/health" {
        return StatusCode::OK.into_response();
    }
    let seen = shared.requests.fetch_add(1, Ordering::SeqCst);
    if websocket::is_upgrade(&request) {
        return websocket::accept(request, &shared.name);
    }
    let status = StatusCode::from_u16(shared.status.load(Ordering::SeqCst)).unwrap();
    match shared.behaviour {
        Behaviour::FailFirst(count, status) if seen < count => StatusCode::from_u16(status).unwrap().into_response(),
        Behaviour::Slow(time) => {
            tokio::time::sleep(time).await;
            (status, echo(&shared.name, &request)).into_response()
        }
        Behaviour::Grpc => {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from_static("0"));
            headers.insert("served-by", HeaderValue::from_str(&shared.name).unwrap());
            (status, headers).into_response()
        }
        Behaviour::Echo | Behaviour::FailFirst(..) | Behaviour::Tcp => {
            (status, echo(&shared.name, &request)).into_response()
        }
    }
}

fn echo(name: &str, request: &Request) -> String {
    let headers: Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    json!({
        "node": name, "path": request.uri().to_string(), "headers": headers,
        "version": format!("{:?}", request.version()),
    })
    .to_string()
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let name = shared.name.clone();
        tokio::spawn(async move {
            let mut received = [0_u8; 64];
            // The client sends first; the content does not matter.
            if stream.read(&mut received).await.is_ok_and(|read| read > 0) {
                drop(stream.write_all(name.as_bytes()).await);
            }
        });
    }
}
