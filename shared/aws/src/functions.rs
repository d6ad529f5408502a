//! Invokes Lambda functions and waits for their answer.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_types::timeout::TimeoutConfig;
use ports::{FunctionAnswer, FunctionInvoker, PortError, PortErrorKind};
use serde_json::Value;

use crate::call::call;
use crate::connection::CONNECT_TIMEOUT;
use crate::lazy::Lazy;

/// The time-out of an invocation. A hook that needs longer answers `IN_PROGRESS`.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest part of an error that is kept, in characters.
const LONGEST_MESSAGE: usize = 300;

/// Lambda functions of the account.
#[derive(Clone, Debug)]
pub struct Functions {
    client: Lazy<Client>,
}

impl Functions {
    pub(crate) const fn new(client: Lazy<Client>) -> Self {
        Self { client }
    }
}

/// The time-outs of the client.
pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(INVOCATION_TIMEOUT)
        .operation_timeout(INVOCATION_TIMEOUT)
        .build()
}

#[async_trait]
impl FunctionInvoker for Functions {
    async fn invoke(&self, function: &str, event: &Value) -> Result<FunctionAnswer, PortError> {
        let what = || format!("invoke function {function}");
        let request = self
            .client
            .client()
            .invoke()
            .function_name(function)
            .invocation_type(InvocationType::RequestResponse)
            .payload(Blob::new(event.to_string().into_bytes()));
        let answer = call(what, request.send()).await?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if let Some(kind) = answer.function_error {
            let text = String::from_utf8_lossy(&payload);
            let text: String = text.chars().take(LONGEST_MESSAGE).collect();
            return Ok(FunctionAnswer::Failed { message: format!("{kind}: {text}") });
        }
        let unreadable = |error: serde_json::Error| {
            let message = format!("the response of the function is not JSON: {error}");
            PortError::new(what(), PortErrorKind::Other, message)
        };
        serde_json::from_slice(&payload).map(FunctionAnswer::Returned).map_err(unreadable)
    }
}
