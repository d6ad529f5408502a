//! Sends and receives our own JSON through the SDK. Its typed structures drop unknown members, so a spec never passes
//! through them. The SDK signs, retries, times out and types errors; the model reads and writes the bodies.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;

/// Stores the response body unchanged, and the caller that wrote the described version.
#[derive(Clone, Debug, Default)]
pub(super) struct KeepBody(Arc<Mutex<KeptResponse>>);

#[derive(Debug, Default)]
struct KeptResponse {
    body: Bytes,
    written_by: Option<String>,
}

impl KeepBody {
    pub(super) fn body(&self) -> Bytes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.clone()
    }

    pub(super) fn written_by(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).written_by.clone()
    }
}

impl Intercept for KeepBody {
    fn name(&self) -> &'static str {
        "KeepBody"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().ok_or("the answer's body is a stream")?;
        let written_by = context.response().headers().get(WRITTEN_BY).map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            KeptResponse { body: Bytes::copy_from_slice(body), written_by };
        Ok(())
    }
}

/// Sends this body instead of the one that the SDK serialized, together with the version that it is based on.
#[derive(Clone, Debug)]
pub(super) struct SendBody {
    pub(super) body: Vec<u8>,
    pub(super) if_version: u64,
}

/// The header that requests more members in a response than App Mesh returns. AWS App Mesh ignored it.
pub(super) const INCLUDE: &str = "x-meshwarden-include";

/// The value of [`INCLUDE`] that adds the tags of the described resource, in a member named `tags`.
pub(super) const TAGS: &str = "tags";

/// The response header that names the caller of the described version. AWS App Mesh did not send it.
const WRITTEN_BY: &str = "x-meshwarden-written-by";

/// The header that makes a write conditional on the resource's version. AWS App Mesh ignored it.
pub(super) const IF_VERSION: &str = "x-meshwarden-if-version";

impl Intercept for SendBody {
    fn name(&self) -> &'static str {
        "SendBody"
    }

    // This runs before the retry loop, so that every attempt carries and signs the same request.
    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        *request.body_mut() = SdkBody::from(self.body.as_slice());
        request.headers_mut().insert("content-length", self.body.len().to_string());
        request.headers_mut().insert(IF_VERSION, self.if_version.to_string());
        Ok(())
    }
}
