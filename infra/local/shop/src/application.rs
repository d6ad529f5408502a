//! One application: it serves, and calls its backends through its own proxy.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::control::Control;
use crate::plan::{Node, Protocol};

/// Who served, the last first.
pub(crate) const SERVED_BY: &str = "x-served-by";

/// Which backend the first part of a path is for. What is not listed is answered without asking anybody.
const BACKENDS: [(&str, &str); 6] = [
    ("cart", "cart.shop.local"),
    ("orders", "checkout.shop.local"),
    ("products", "catalog.shop.local"),
    ("recommendations", "recommendations.shop.local"),
    ("reviews", "reviews.shop.local"),
    ("search", "search.shop.local"),
];

/// The one backend that speaks no HTTP.
const STOCK: &str = "inventory.shop.local";

#[derive(Debug)]
pub(crate) struct Application {
    name: String,
    protocol: Protocol,
    listener: TcpListener,
    backends: BTreeMap<String, u16>,
    control: Arc<Control>,
}

impl Application {
    pub(crate) async fn bind(node: Node, control: Arc<Control>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", node.application)).await?;
        Ok(Self { name: node.name, protocol: node.protocol, listener, backends: node.backends, control })
    }

    /// Serves from now on, until the process ends.
    pub(crate) fn start(self) {
        let Self { name, protocol, listener, backends, control } = self;
        let served = Arc::new(Served { name, protocol, backends, control });
        if protocol == Protocol::Tcp {
            tokio::spawn(serve_tcp(listener, served));
        } else {
            let router = Router::new().fallback(answer).with_state(served);
            tokio::spawn(axum::serve(listener, router).into_future());
        }
    }
}

#[derive(Debug)]
struct Served {
    name: String,
    protocol: Protocol,
    backends: BTreeMap<String, u16>,
    control: Arc<Control>,
}

async fn answer(State(served): State<Arc<Served>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path == "/health" {
        return StatusCode::OK.into_response();
    }
    if served.control.fails(&served.name) {
        return response(StatusCode::INTERNAL_SERVER_ERROR, &served, "");
    }
    let (status, others) = served.ask(&path, request.headers()).await;
    response(status, &served, &others)
}

fn response(status: StatusCode, served: &Served, others: &str) -> Response {
    let by = if others.is_empty() { served.name.clone() } else { format!("{others},{}", served.name) };
    let mut headers = HeaderMap::new();
    if let Ok(by) = by.parse() {
        headers.insert(SERVED_BY, by);
    }
    if served.protocol == Protocol::Grpc {
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(if status.is_success() { "0" } else { "13" }));
    }
    (status, headers).into_response()
}

impl Served {
    /// Asks the backend that a path is for, if this application has it; says with what status and by whom.
    async fn ask(&self, path: &str, headers: &HeaderMap) -> (StatusCode, String) {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let backend = BACKENDS.iter().find(|(prefix, _)| *prefix == first).map(|(_, service)| *service);
        if let Some((service, port)) = backend.and_then(|service| Some((service, *self.backends.get(service)?))) {
            return self.ask_http(service, port, path, headers).await;
        }
        match self.backends.get(STOCK) {
            Some(port) => ask_tcp(*port).await.unwrap_or((StatusCode::BAD_GATEWAY, String::new())),
            None => (StatusCode::OK, String::new()),
        }
    }

    async fn ask_http(&self, service: &str, port: u16, path: &str, headers: &HeaderMap) -> (StatusCode, String) {
        let mut request = self.control.client().get(format!("http://127.0.0.1:{port}{path}")).header("host", service);
        for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-shop-")) {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(answer) => {
                let by = answer.headers().get(SERVED_BY).and_then(|by| by.to_str().ok()).unwrap_or_default().to_owned();
                (answer.status(), by)
            }
            Err(_) => (StatusCode::BAD_GATEWAY, String::new()),
        }
    }
}

/// Asks for the stock: a line there, a line back.
async fn ask_tcp(port: u16) -> io::Result<(StatusCode, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"stock\n").await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    let by = line.trim();
    let status = if by.is_empty() { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    Ok((status, by.to_owned()))
}

async fn serve_tcp(listener: TcpListener, served: Arc<Served>) {
    while let Ok((stream, _)) = listener.accept().await {
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                line.clear();
                let answer = if served.control.fails(&served.name) { String::new() } else { served.name.clone() };
                if stream.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
                    break;
                }
            }
        });
    }
}
