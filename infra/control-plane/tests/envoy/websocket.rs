//! A WebSocket reaches the application over every combination of HTTP/1.1 and HTTP/2 hops.

use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::application::Behaviour;
use crate::proxy::Kind;
use crate::specs::{action, client, node};
use crate::stage::Stage;

/// The request timeout of the test's mesh: a WebSocket must stay open for longer.
const PER_REQUEST: Duration = Duration::from_millis(500);

/// Whether a request opens a WebSocket, by HTTP/1.1's upgrade or by HTTP/2's extended CONNECT.
pub(crate) fn is_upgrade(request: &Request) -> bool {
    let by_connect = request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    let by_upgrade = request.headers().get("upgrade").is_some_and(|value| value.as_bytes() == b"websocket");
    by_upgrade || (request.method() == Method::CONNECT && by_connect)
}

/// Accepts a WebSocket, sends the application's name, and then echoes what it receives.
pub(crate) fn accept(mut request: Request, name: &str) -> Response {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().unwrap();
    let name = name.to_owned();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
        if writer.write_all(format!("{name}\n").as_bytes()).await.is_ok() {
            drop(tokio::io::copy(&mut reader, &mut writer).await);
        }
    });
    if request.method() == Method::CONNECT {
        return StatusCode::OK.into_response();
    }
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
    response.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    response
}

/// A connection that can be read and written.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open WebSocket of a client, and the name that the application sent on it.
struct Socket {
    name: String,
    stream: Box<dyn Duplex>,
}

impl Socket {
    /// Opens one by HTTP/1.1; the error is the first line of the response.
    async fn open_http1(address: &str, path: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: web.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.map_err(|error| error.to_string())?);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.lines().next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101") {
            return Err(status.to_owned());
        }
        Self::read_name(Box::new(stream)).await
    }

    /// Opens one by an extended CONNECT; the error is the status of the response.
    async fn open_http2(address: &str, path: &str) -> Result<Self, String> {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        // The server's settings, which allow the extended CONNECT, arrive with its first response.
        let get = hyper::Request::get(format!("http://web.example{path}")).body(Empty::<Bytes>::new()).unwrap();
        sender.send_request(get).await.map_err(|error| format!("{error:?}"))?;
        let request = hyper::Request::connect(format!("http://web.example{path}"))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
        if response.status() != StatusCode::OK {
            return Err(response.status().to_string());
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| error.to_string())?;
        Self::read_name(Box::new(TokioIo::new(upgraded))).await
    }

    async fn read_name(mut stream: Box<dyn Duplex>) -> Result<Self, String> {
        let mut name = Vec::new();
        loop {
            match stream.read_u8().await.map_err(|error| error.to_string())? {
                b'\n' => return Ok(Self { name: String::from_utf8(name).unwrap(), stream }),
                byte => name.push(byte),
            }
        }
    }

    async fn echoes(&mut self, text: &str) -> bool {
        let mut received = vec![0; text.len()];
        self.stream.write_all(text.as_bytes()).await.is_ok()
            && self.stream.read_exact(&mut received).await.is_ok()
            && received == text.as_bytes()
    }
}

fn to(service: &str) -> Value {
    let target = json!({"virtualService": {"virtualServiceName": service}});
    json!({"httpRoute": {"match": {"prefix": format!("/{service}")}, "action": {"target": target}}})
}

#[tokio::test]
async fn websockets_cross_http_and_http2_hops() {
    let Some(stage) = Stage::set().await else { return };
    let limit = json!({"perRequest": {"unit": "ms", "value": u64::try_from(PER_REQUEST.as_millis()).unwrap()}});
    let protocols = ["http", "http2"];
    for protocol in protocols {
        stage.node(protocol, node(protocol, &[])).await;
        stage.service_on_router(protocol, protocol, protocol).await;
        let route = json!({"match": {"prefix": "/"}, "action": action(&[(protocol, 1)]), "timeout": limit});
        stage.route(protocol, "all", json!({format!("{protocol}Route"): route})).await;
    }
    stage.node("caller", client(&protocols)).await;
    for protocol in protocols {
        let gateway = format!("web-{protocol}");
        stage.gateway(&gateway, json!({"listeners": [{"portMapping": {"port": 8080, "protocol": protocol}}]})).await;
        for service in protocols {
            stage.gateway_route(&gateway, service, to(service)).await;
        }
    }
    let mut running = vec![stage.envoy(Kind::Node, "caller").await];
    let mut applications = Vec::new();
    for protocol in protocols {
        applications.push(stage.application(protocol, Behaviour::Echo).await);
        running.push(stage.envoy(Kind::Node, protocol).await);
        running.push(stage.envoy(Kind::Gateway, &format!("web-{protocol}")).await);
    }
    let mut entries = Vec::new();
    for service in protocols {
        entries.push((
            "caller".to_owned(),
            stage.address(Kind::Node, "caller", "egress", Some(service)).await,
            service,
        ));
        for protocol in protocols {
            let gateway = format!("web-{protocol}");
            let address = stage.address(Kind::Gateway, &gateway, "ingress", None).await;
            entries.push((gateway, address, service));
        }
    }
    let mut failed = Vec::new();
    let mut open = Vec::new();
    for (entry, address, service) in &entries {
        let path = format!("/{service}/socket");
        for (version, opened) in [
            ("HTTP/1.1", Socket::open_http1(address, &path).await),
            ("HTTP/2", Socket::open_http2(address, &path).await),
        ] {
            let hops = format!("client {version}, {entry}, node {service}");
            match opened {
                Ok(mut socket) => {
                    assert!(socket.echoes("hello").await && socket.name == *service, "{hops}: by {}", socket.name);
                    open.push((hops, socket));
                }
                Err(reason) => failed.push(format!("{hops}: {reason}")),
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    // The request timeout applies to the opening of the socket, not to the time that it stays open.
    let opened = Instant::now();
    while opened.elapsed() < PER_REQUEST * 3 {
        for (hops, socket) in &mut open {
            assert!(socket.echoes("still there").await, "{hops}: closed after {:?}", opened.elapsed());
        }
        tokio::time::sleep(PER_REQUEST / 5).await;
    }
    stage.assert_no_nack().await;
}
