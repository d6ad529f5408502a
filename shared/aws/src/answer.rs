//! Bounds the number of bytes read from service responses, so that no endpoint can exhaust the memory of a function.
//!
//! ```text
//! SDK client ──▶ BoundedAnswers (HTTP client) ──▶ BoundedConnector ──▶ the network
//!                                                       └──▶ each response body counts the bytes read
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

const MIB: u64 = 1024 * 1024;

/// The longest response that is read, in bytes. `BatchGetItem` has the longest of all operations used here: 16 MB of
/// documents, with their quotes escaped once more in JSON.
pub const LONGEST_ANSWER: u64 = 24 * MIB;

/// The total length, in bytes, of all responses that are being read at one time. A function makes at most forty
/// concurrent calls and has 256 MB of memory.
pub const LONGEST_TOGETHER: u64 = 48 * MIB;

/// The maximum number of pages read from one list. The largest pages hold a hundred items. A list that does not end
/// would otherwise be read until the invocation's time is over.
pub const MOST_PAGES: u32 = 1_000;

/// The bound because of which a response is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseLimit {
    #[error("the response is longer than the limit of {} MiB", LONGEST_ANSWER / MIB)]
    Answer,
    #[error("the concurrent responses are together longer than the limit of {} MiB", LONGEST_TOGETHER / MIB)]
    Together,
    #[error("the list has more than {MOST_PAGES} pages, which is the limit")]
    Pages,
    #[error("the list repeats the token of its next page")]
    RepeatedToken,
}

impl ResponseLimit {
    /// Finds a `ResponseLimit` among the error and its sources.
    pub(crate) fn find_in(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(*found);
            }
            cause = error.source();
        }
        None
    }
}

/// An HTTP client with bounded responses. It builds its connector with the first request, once for all clients. Used
/// directly, the SDK's own HTTP client builds a connector for every client that is created and discards it. Each time
/// it parses all root certificates, which is most of a cold start.
#[derive(Clone, Debug)]
pub(crate) struct BoundedAnswers {
    client: SharedHttpClient,
    reading: Arc<AtomicU64>,
}

impl BoundedAnswers {
    pub(crate) fn new(client: SharedHttpClient) -> Self {
        Self { client, reading: Arc::default() }
    }
}

impl HttpClient for BoundedAnswers {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.client.http_connector(settings, components);
        SharedHttpConnector::new(BoundedConnector { inner, reading: Arc::clone(&self.reading) })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client.connector_metadata()
    }
}

#[derive(Debug)]
struct BoundedConnector {
    inner: SharedHttpConnector,
    reading: Arc<AtomicU64>,
}

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, reading) = (self.inner.call(request), Arc::clone(&self.reading));
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            let announced = answer.headers().get("content-length").and_then(|length| length.parse::<u64>().ok());
            let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
            let body = BoundedBody { body: Box::pin(body), announced: announced.unwrap_or_default(), read: 0, reading };
            *answer.body_mut() = SdkBody::from_body_1_x(body);
            Ok(answer)
        })
    }
}

/// A response body that returns an error when it exceeds the bounds.
#[derive(Debug)]
struct BoundedBody {
    body: Pin<Box<SdkBody>>,
    /// The length, in bytes, that the `content-length` header announces; 0 without the header.
    announced: u64,
    read: u64,
    /// The number of bytes read from all responses that are open at this time, including this one.
    reading: Arc<AtomicU64>,
}

impl BoundedBody {
    fn count(&mut self, bytes: usize) -> Result<(), ResponseLimit> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.read = self.read.saturating_add(bytes);
        let together = self.reading.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if self.read > LONGEST_ANSWER {
            return Err(ResponseLimit::Answer);
        }
        if together > LONGEST_TOGETHER {
            return Err(ResponseLimit::Together);
        }
        Ok(())
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        // A response is not read at all if its `content-length` exceeds the bound.
        if self.announced > LONGEST_ANSWER {
            return Poll::Ready(Some(Err(ResponseLimit::Answer.into())));
        }
        Poll::Ready(match ready!(self.body.as_mut().poll_frame(context)) {
            Some(Ok(frame)) => {
                let counted = self.count(frame.data_ref().map_or(0, Bytes::len));
                Some(counted.map(|()| frame).map_err(Into::into))
            }
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.announced <= LONGEST_ANSWER && Body::is_end_stream(&*self.body)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&*self.body)
    }
}

impl Drop for BoundedBody {
    fn drop(&mut self) {
        self.reading.fetch_sub(self.read, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn body(length: u64, announced: u64, reading: &Arc<AtomicU64>) -> BoundedBody {
        let bytes = SdkBody::from(vec![b'x'; usize::try_from(length).unwrap()]);
        BoundedBody { body: Box::pin(bytes), announced, read: 0, reading: Arc::clone(reading) }
    }

    #[tokio::test]
    async fn response_up_to_the_limit_is_read_and_longer_one_is_refused() {
        let reading = Arc::default();
        for (length, announced, expected) in [
            (0, 0, None),
            (LONGEST_ANSWER, LONGEST_ANSWER, None),
            (LONGEST_ANSWER + 1, 0, Some(ResponseLimit::Answer)),
            (1, LONGEST_ANSWER + 1, Some(ResponseLimit::Answer)),
        ] {
            let read = body(length, announced, &reading).collect().await;
            let why = read.err().and_then(|error| ResponseLimit::find_in(error.as_ref()));
            assert_eq!(why, expected, "{length} {announced}");
        }
        assert_eq!(reading.load(Ordering::Relaxed), 0, "nothing is left counted");
    }

    #[tokio::test]
    async fn concurrent_responses_share_a_limit() {
        let reading = Arc::default();
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut one = body(LONGEST_ANSWER, 0, &reading);
            one.frame().await.unwrap().unwrap();
            held.push(one);
        }
        let mut third = body(1, 0, &reading);
        let error = third.frame().await.unwrap().unwrap_err();
        assert_eq!(ResponseLimit::find_in(error.as_ref()), Some(ResponseLimit::Together));
        held.clear();
        body(LONGEST_ANSWER, 0, &reading).collect().await.unwrap();
    }
}
