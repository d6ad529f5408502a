//! Limits on the memory of streams from unknown proxies.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::Request;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::AdsLimits;
use super::listen::ConnectedPeer;
use crate::connections::{BodyBudget, Reservation, Slot, UnauthenticatedRequest};

/// Counts the data of streams until their proxy is known.
#[derive(Debug, Clone)]
pub(super) struct Metering(Arc<BodyBudget>);

impl Metering {
    pub(super) fn new(limits: &AdsLimits) -> Self {
        Self(Arc::clone(&limits.bodies))
    }
}

impl<S> Layer<S> for Metering {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered { inner, bodies: Arc::clone(&self.0) }
    }
}

/// A service with counted requests.
#[derive(Debug, Clone)]
pub(super) struct Metered<S> {
    inner: S,
    bodies: Arc<BodyBudget>,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Metered<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let Some(connected_peer) = request.extensions().get::<ConnectedPeer>().cloned() else {
            return self.inner.call(request);
        };
        let unknown = UnknownSender {
            reservation: self.bodies.begin(connected_peer.peer.address.client()),
            slot: connected_peer.slot.clone(),
            _request: connected_peer.slot.start_request(),
        };
        self.inner.call(request.map(|body| Body::new(MeteredBody { body, unknown: Some(unknown) })))
    }
}

/// The body of a request while its sender is unknown.
struct MeteredBody {
    body: Body,
    unknown: Option<UnknownSender>,
}

struct UnknownSender {
    reservation: Reservation,
    slot: Slot,
    _request: UnauthenticatedRequest,
}

impl MeteredBody {
    /// Reserves memory for received data, until the sender is known.
    fn account(&mut self, bytes: usize) -> Result<(), Status> {
        if self.unknown.as_ref().is_some_and(|unknown| unknown.slot.is_known()) {
            self.unknown = None;
        }
        let Some(unknown) = &self.unknown else { return Ok(()) };
        unknown.reservation.grow(bytes).map_err(|_| congested())
    }
}

fn congested() -> Status {
    Status::resource_exhausted("too many requests of unknown proxies are in progress; try again later")
}

impl hyper::body::Body for MeteredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let displaced = |unknown: &UnknownSender| unknown.reservation.poll_displaced(cx).is_ready();
        if self.unknown.as_ref().is_some_and(displaced) {
            self.unknown = None;
            return Poll::Ready(Some(Err(congested())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        if let Err(status) = self.account(bytes) {
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
