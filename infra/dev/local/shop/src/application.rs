//! One application: it serves requests, and calls its backends through its proxy.

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

/// The applications that served a request, latest first.
pub(crate) const SERVED_BY: &str = "x-served-by";

/// A further call that an application makes while it serves a request.
#[derive(Debug)]
struct Call {
    /// The beginning of the paths for which it is made.
    prefix: &'static str,
    /// The virtual service that is called. Only an application that has it among its backends makes the call.
    service: &'static str,
    /// The path that is requested; `None` for the path of the request itself.
    path: Option<&'static str>,
    protocol: CallProtocol,
}

/// The protocol of a call to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallProtocol {
    Http,
    /// A unary call with an empty message. It is HTTP/1.1 as far as the application's own proxy and HTTP/2 from there.
    Grpc,
    /// A line each way.
    Tcp,
}

impl Call {
    const fn http(prefix: &'static str, service: &'static str, path: Option<&'static str>) -> Self {
        Self { prefix, service, path, protocol: CallProtocol::Http }
    }
}

/// All further calls, in the order in which an application makes them.
const CALLS: [Call; 9] = [
    Call::http("/cart", "cart.shop.local", None),
    Call::http("/orders", "checkout.shop.local", Some("/checkout")),
    Call {
        prefix: "/checkout",
        service: "payments.shop.local",
        path: Some("/shop.Payments/Authorise"),
        protocol: CallProtocol::Grpc,
    },
    Call::http("/checkout", "orders.shop.local", Some("/orders")),
    Call::http("/products", "catalog.shop.local", None),
    Call { prefix: "/products", service: "inventory.shop.local", path: None, protocol: CallProtocol::Tcp },
    Call::http("/recommendations", "recommendations.shop.local", Some("/picks")),
    Call::http("/picks", "catalog.shop.local", Some("/products/1")),
    Call::http("/reviews", "reviews.shop.local", None),
];
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

    /// Serves until the process ends.
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
    let (status, others) = served.call_backends(&path, request.headers()).await;
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
    /// Makes the calls that a request needs, until one fails. Returns the status, and the applications that answered.
    async fn call_backends(&self, path: &str, headers: &HeaderMap) -> (StatusCode, String) {
        let mut answered = String::new();
        for call in CALLS.iter().filter(|call| path.starts_with(call.prefix)) {
            let Some(port) = self.backends.get(call.service) else { continue };
            let (status, by) = match call.protocol {
                CallProtocol::Http => self.call_http(call, *port, path, headers).await,
                CallProtocol::Grpc => self.call_grpc(call, *port).await,
                // Products are served without their stock if the inventory fails.
                CallProtocol::Tcp => (StatusCode::OK, call_tcp(*port).await.unwrap_or_default()),
            };
            if !answered.is_empty() && !by.is_empty() {
                answered.push(',');
            }
            answered.push_str(&by);
            if !status.is_success() {
                return (status, answered);
            }
        }
        (StatusCode::OK, answered)
    }

    async fn call_http(&self, call: &Call, port: u16, path: &str, headers: &HeaderMap) -> (StatusCode, String) {
        let path = call.path.unwrap_or(path);
        let mut request =
            self.control.client().get(format!("http://127.0.0.1:{port}{path}")).header("host", call.service);
        // The headers that routes of the mesh match.
        let is_forwarded = |name: &str| name.starts_with("x-shop-") || name == "cookie";
        for (name, value) in headers.iter().filter(|(name, _)| is_forwarded(name.as_str())) {
            request = request.header(name, value);
        }
        status_and_servers(request).await
    }

    async fn call_grpc(&self, call: &Call, port: u16) -> (StatusCode, String) {
        let path = call.path.unwrap_or_default();
        let request = self.control.client().post(format!("http://127.0.0.1:{port}{path}"));
        let request = request.header("host", call.service).header("content-type", "application/grpc");
        // The metadata that the mesh's route matches.
        status_and_servers(request.header("te", "trailers").header("currency", "EUR").body(EMPTY_MESSAGE)).await
    }
}

/// A gRPC message without content: not compressed, of length 0.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// The status of the response, and the applications that served it.
async fn status_and_servers(request: reqwest::RequestBuilder) -> (StatusCode, String) {
    match request.send().await {
        Ok(answer) => {
            let by = answer.headers().get(SERVED_BY).and_then(|by| by.to_str().ok()).unwrap_or_default().to_owned();
            (answer.status(), by)
        }
        Err(_) => (StatusCode::BAD_GATEWAY, String::new()),
    }
}

/// Requests the stock, and returns the application that answered; an empty name if the connection was closed.
async fn call_tcp(port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"stock\n").await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line.trim().to_owned())
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
