//! The faults that a relay can inject between a function and a service, each in the service's own protocol.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use futures::task::AtomicWaker;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// One kind of failure of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A throttle in the form of most services: status 400 and a code.
    Throttle,
    /// A throttle in the form of App Mesh: status 429.
    TooManyRequests,
    /// Status 500.
    InternalError,
    /// Status 503.
    Unavailable,
    /// The connection is reset, and the service has not executed the call.
    Reset,
    /// The service has executed the call, and the connection is reset instead of a response.
    LostAnswer,
    /// The service sends no response, and the service has not executed the call.
    NoAnswer,
    /// The signature is too old by the service's clock, which agrees with the local clock.
    ExpiredSignature,
    /// The signature is rejected, and the service's clock is ten minutes ahead.
    SkewedClock,
    /// The session token has expired.
    ExpiredToken,
    /// The role lacks the permission.
    Denied,
    /// The status is 200, and the body is invalid in the protocol.
    Malformed,
    /// Another error of the service.
    Error {
        /// The HTTP status.
        status: u16,
        /// The service's error code.
        code: &'static str,
        /// The service's error message.
        message: &'static str,
    },
    /// Status 200 with this body: the service has executed only a part of the call.
    Answer(&'static str),
}

impl Fault {
    /// Every fault without a parameter.
    pub const ALL: [Self; 12] = [
        Self::Throttle,
        Self::TooManyRequests,
        Self::InternalError,
        Self::Unavailable,
        Self::Reset,
        Self::LostAnswer,
        Self::NoAnswer,
        Self::ExpiredSignature,
        Self::SkewedClock,
        Self::ExpiredToken,
        Self::Denied,
        Self::Malformed,
    ];

    /// The class of [`ports::PortErrorKind`] that an error reports for this fault.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Throttle | Self::TooManyRequests => "throttled",
            Self::InternalError | Self::Unavailable | Self::Reset | Self::LostAnswer => "unavailable",
            Self::NoAnswer => "timed out",
            Self::ExpiredSignature | Self::SkewedClock | Self::ExpiredToken => "expired",
            Self::Denied => "denied",
            Self::Malformed => "refused",
            Self::Error { .. } | Self::Answer(_) => "",
        }
    }

    /// Whether a retry of the call succeeds.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        !matches!(self, Self::Denied)
    }

    /// Status, code and message of the error; `None` if the fault is not an error response.
    fn error(self) -> Option<(StatusCode, &'static str, &'static str)> {
        let expired =
            "Signature expired: 20261130T031500Z is now earlier than 20261130T032000Z (20261130T032500Z - 5 min.)";
        Some(match self {
            Self::Throttle => (StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Too many requests"),
            Self::InternalError => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", "internal error"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "try again"),
            Self::ExpiredSignature => (StatusCode::FORBIDDEN, "InvalidSignatureException", expired),
            Self::SkewedClock => (StatusCode::FORBIDDEN, "InvalidSignatureException", "the signature does not match"),
            Self::ExpiredToken => {
                let message = "The security token included in the request is expired";
                (StatusCode::BAD_REQUEST, "ExpiredTokenException", message)
            }
            Self::Denied => (StatusCode::FORBIDDEN, "AccessDeniedException", "not authorized to perform this"),
            Self::Error { status, code, message } => (StatusCode::from_u16(status).ok()?, code, message),
            Self::Reset | Self::LostAnswer | Self::NoAnswer | Self::Malformed | Self::Answer(_) => return None,
        })
    }

    /// The response in the protocol of the request; `None` if the fault is not a response.
    pub(crate) fn answer(self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Option<Response> {
        let protocol = Protocol::detect(uri, headers, body);
        let Some((status, code, message)) = self.error() else {
            let text = match self {
                Self::Malformed => "<html>moved</html{",
                Self::Answer(text) => text,
                _ => return None,
            };
            return Some((StatusCode::OK, [("content-type", protocol.content_type())], text).into_response());
        };
        let body = protocol.error(code, message);
        let mut answer = (status, [("content-type", protocol.content_type())], body).into_response();
        let headers = answer.headers_mut();
        if matches!(protocol, Protocol::RestJson | Protocol::Json) {
            headers.insert("x-amzn-errortype", code.parse().unwrap());
        }
        if protocol == Protocol::Cbor {
            headers.insert("smithy-protocol", "rpc-v2-cbor".parse().unwrap());
        }
        if self == Self::SkewedClock {
            let ahead = (Timestamp::now() + SignedDuration::from_mins(10)).to_zoned(TimeZone::UTC);
            let date = ahead.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            headers.insert("date", date.parse().unwrap());
        }
        Some(answer)
    }
}

/// The protocol in which a service writes its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Json,
    RestJson,
    Query,
    Cbor,
    RestXml,
}

impl Protocol {
    fn detect(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = header("content-type");
        if kind.contains("cbor") || header("smithy-protocol").contains("cbor") {
            Self::Cbor
        } else if kind.starts_with("application/x-amz-json") {
            Self::Json
        } else if body.starts_with(b"Action=") {
            Self::Query
        } else if uri.path().starts_with("/v20190125") || uri.path().starts_with("/meshwarden") {
            Self::RestJson
        } else {
            Self::RestXml
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::RestJson => "application/json",
            Self::Query | Self::RestXml => "text/xml",
            Self::Cbor => "application/cbor",
        }
    }

    fn error(self, code: &str, message: &str) -> Vec<u8> {
        match self {
            Self::Json | Self::RestJson => {
                serde_json::json!({ "__type": code, "message": message }).to_string().into_bytes()
            }
            Self::Query => format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>req-7</RequestId></ErrorResponse>"
            )
            .into_bytes(),
            Self::RestXml => format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>").into_bytes(),
            Self::Cbor => {
                let mut body = vec![0xa2];
                for text in ["__type", code, "message", message] {
                    // A text of up to 255 bytes, with its length in one byte.
                    body.extend([0x78, u8::try_from(text.len()).unwrap()]);
                    body.extend(text.as_bytes());
                }
                body
            }
        }
    }
}

/// Ends one connection of a [`SeverableListener`] from within a handler.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Cut>);

#[derive(Debug, Default)]
struct Cut {
    is_cut: AtomicBool,
    waker: AtomicWaker,
}

impl Connection {
    /// Resets the connection. It never returns: the handler is dropped.
    pub(crate) async fn reset(&self) -> Response {
        self.0.is_cut.store(true, Ordering::Release);
        self.0.waker.wake();
        std::future::pending().await
    }
}

impl Connected<IncomingStream<'_, SeverableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, SeverableListener>) -> Self {
        Self(Arc::clone(&stream.io().cut))
    }
}

/// Accepts connections that can be reset. A handler can otherwise only send a response.
#[derive(Debug)]
pub(crate) struct SeverableListener(TcpListener);

impl SeverableListener {
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }
}

impl Listener for SeverableListener {
    type Io = Severable;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.0.accept().await {
                return (Severable { stream, cut: Arc::default() }, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A connection that can be reset.
#[derive(Debug)]
pub(crate) struct Severable {
    stream: TcpStream,
    cut: Arc<Cut>,
}

impl Severable {
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        self.cut.waker.register(context.waker());
        if self.cut.is_cut.load(Ordering::Acquire) {
            // Discards unsent data, so that the client gets a reset and not the end of the stream.
            self.stream.set_zero_linger().ok();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Severable {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
