//! What streams of proxies may hold that are not known yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::Request;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::Gate;
use super::listen::Guest;
use crate::connections::{BodyBudget, Heard, Reservation, Slot};

/// Counts what arrives on streams until their connection is that of a known proxy.
#[derive(Debug, Clone)]
pub(super) struct Metering(Arc<BodyBudget>);

impl Metering {
    pub(super) fn new(gate: &Gate) -> Self {
        Self(Arc::clone(&gate.bodies))
    }
}

impl<S> Layer<S> for Metering {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered { inner, bodies: Arc::clone(&self.0) }
    }
}

/// A service whose requests are counted.
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
        let Some(guest) = request.extensions().get::<Guest>().cloned() else { return self.inner.call(request) };
        let unknown = Unknown {
            reservation: self.bodies.begin(guest.peer.place.client()),
            slot: guest.slot.clone(),
            _heard: guest.slot.hear(),
        };
        self.inner.call(request.map(|body| Body::new(MeteredBody { body, unknown: Some(unknown) })))
    }
}

/// The body of a request, while its sender is not known.
struct MeteredBody {
    body: Body,
    unknown: Option<Unknown>,
}

struct Unknown {
    reservation: Reservation,
    slot: Slot,
    _heard: Heard,
}

impl MeteredBody {
    /// Takes memory for what arrived, until the sender is known.
    fn account(&mut self, bytes: usize) -> Result<(), Status> {
        if self.unknown.as_ref().is_some_and(|unknown| unknown.slot.is_known()) {
            self.unknown = None;
        }
        let Some(unknown) = &self.unknown else { return Ok(()) };
        unknown.reservation.grow(bytes).map_err(|_| congested())
    }
}

fn congested() -> Status {
    Status::resource_exhausted("too much is under way from proxies that are not known yet; try again later")
}

impl hyper::body::Body for MeteredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let displaced = |unknown: &Unknown| unknown.reservation.poll_displaced(cx).is_ready();
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
