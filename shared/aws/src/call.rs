//! One way for every call: capped by the running invocation's deadline, its failure classified once.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ports::{Deadline, PortError, PortErrorKind};

/// A failed call as the SDK tells it.
pub(crate) type Failed<E> = SdkError<E, HttpResponse>;

/// Waits for `request` until the deadline of the running invocation. `what` is what was tried, as in `describe route`.
pub(crate) fn call<T, E>(
    what: impl Fn() -> String,
    request: impl Future<Output = Result<T, Failed<E>>>,
) -> impl Future<Output = Result<T, PortError>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    // The SDK's futures take tens of kilobytes; boxed here, the handlers' own stay small.
    let request = Box::pin(request);
    async move { within_deadline(&what, request).await?.map_err(|error| classify(what(), error)) }
}

/// Waits for `request` until the deadline of the running invocation, without judging its outcome.
pub(crate) fn within_deadline<T>(
    what: impl Fn() -> String,
    request: impl Future<Output = T>,
) -> impl Future<Output = Result<T, PortError>> {
    let request = Box::pin(request);
    async move {
        let Some(left) = Deadline::remaining() else {
            return Ok(request.await);
        };
        let late = |message: &str| PortError::new(what(), PortErrorKind::TimedOut, message);
        if left < Duration::from_millis(1) {
            // Not sent at all: there would be no time to do anything with the answer.
            return Err(late("the invocation has no time left for this call"));
        }
        tokio::time::timeout(left, request).await.map_err(|_| late("the invocation's time ran out during this call"))
    }
}

/// Tells what sort of failure it is. The SDK has done its own retries by now.
pub(crate) fn classify<E>(call: String, error: Failed<E>) -> PortError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let (kind, message) = match &error {
        SdkError::ConstructionFailure(_) => (PortErrorKind::Other, "the request could not be made".to_owned()),
        SdkError::TimeoutError(_) => (PortErrorKind::TimedOut, "no answer in time".to_owned()),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            (PortErrorKind::TimedOut, "no connection in time".to_owned())
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            (PortErrorKind::Other, "the request could not be sent".to_owned())
        }
        SdkError::DispatchFailure(_) if lacks_credentials(&error) => {
            (PortErrorKind::Denied, "no credentials; give the function a role, or set the SDK's variables".to_owned())
        }
        SdkError::DispatchFailure(_) => (PortErrorKind::Unavailable, "no connection".to_owned()),
        SdkError::ResponseError(answer) if answer.raw().status().is_server_error() => {
            (PortErrorKind::Unavailable, format!("status {}", answer.raw().status()))
        }
        SdkError::ResponseError(answer) => {
            (PortErrorKind::Other, format!("an unreadable answer with status {}", answer.raw().status()))
        }
        SdkError::ServiceError(answer) => {
            let (status, code) = (answer.raw().status().as_u16(), answer.err().code());
            let text = answer.err().message().unwrap_or("no message");
            (kind_of(status, code), format!("{text} ({}, status {status})", code.unwrap_or("no code")))
        }
        _ => (PortErrorKind::Other, "an unknown failure".to_owned()),
    };
    // What the SDK can only tell by its sources, as in a name that does not resolve, is said for people too.
    let message = match (&error, request_id(&error)) {
        (_, Some(id)) => format!("{message}, request {id}"),
        (SdkError::ServiceError(_), None) => message,
        (_, None) => format!("{message}: {}", DisplayErrorContext(&error)),
    };
    PortError { call, kind, message, source: Some(Box::new(error)) }
}

/// Whether there is nothing to sign the request with. The SDK tells it like a lost connection, but no retry finds any.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<CredentialsError>() {
            return matches!(
                error,
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
            );
        }
        cause = error.source();
    }
    false
}

/// What the caller may go by, from the service's code; the status tells where the code is not known.
fn kind_of(status: u16, code: Option<&str>) -> PortErrorKind {
    match code.unwrap_or_default() {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "TooManyUpdates"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "SlowDown"
        | "KMSThrottling" => PortErrorKind::Throttled,
        "RequestTimeout" | "RequestTimeoutException" => PortErrorKind::TimedOut,
        "ConflictException"
        | "ConditionalCheckFailedException"
        | "TransactionCanceledException"
        | "TransactionConflictException"
        | "TransactionInProgressException"
        | "ConcurrentModificationException"
        | "RequestInProgressException"
        | "ResourceExistsException"
        | "ResourceInUseException" => PortErrorKind::Conflict,
        "NotFoundException"
        | "ResourceNotFoundException"
        | "ResourceNotFound"
        | "ServiceNotFound"
        | "NamespaceNotFound"
        | "NotFound"
        | "NoSuchKey"
        | "NoSuchBucket"
        | "ParameterNotFound" => PortErrorKind::NotFound,
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "ForbiddenException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "UnrecognizedClientException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "KMSAccessDenied" => PortErrorKind::Denied,
        _ => match status {
            404 => PortErrorKind::NotFound,
            401 | 403 => PortErrorKind::Denied,
            408 => PortErrorKind::TimedOut,
            409 | 412 => PortErrorKind::Conflict,
            429 => PortErrorKind::Throttled,
            500.. => PortErrorKind::Unavailable,
            _ => PortErrorKind::Other,
        },
    }
}

fn request_id<E>(error: &Failed<E>) -> Option<&str> {
    let headers = error.raw_response()?.headers();
    headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_before_statuses() {
        use PortErrorKind::{Conflict, Denied, NotFound, Other, Throttled, TimedOut, Unavailable};
        for (status, code, kind) in [
            (429, Some("TooManyRequestsException"), Throttled),
            (400, Some("ThrottlingException"), Throttled),
            (400, Some("ProvisionedThroughputExceededException"), Throttled),
            (503, Some("SlowDown"), Throttled),
            (503, Some("ServiceUnavailableException"), Unavailable),
            (500, Some("InternalServerErrorException"), Unavailable),
            (500, None, Unavailable),
            (404, Some("NotFoundException"), NotFound),
            (400, Some("ParameterNotFound"), NotFound),
            (400, Some("ResourceNotFoundException"), NotFound),
            (400, Some("ServiceNotFound"), NotFound),
            (400, Some("NamespaceNotFound"), NotFound),
            (400, Some("RequestLimitExceeded"), Throttled),
            (404, None, NotFound),
            (403, Some("ForbiddenException"), Denied),
            (400, Some("AccessDeniedException"), Denied),
            (403, None, Denied),
            (409, Some("ConflictException"), Conflict),
            (400, Some("ConditionalCheckFailedException"), Conflict),
            (409, Some("ResourceInUseException"), Conflict),
            (400, Some("ResourceInUseException"), Conflict),
            (400, Some("RequestInProgressException"), Conflict),
            (400, Some("ResourceExistsException"), Conflict),
            (400, Some("RequestTimeout"), TimedOut),
            (400, Some("BadRequestException"), Other),
            (400, Some("LimitExceededException"), Other),
            (400, None, Other),
        ] {
            assert_eq!(kind_of(status, code), kind, "{status} {code:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_with_the_invocation() {
        let what = || "describe route shop/recs/main".to_owned();
        let endless = within_deadline(what, std::future::pending::<()>());
        let error = Deadline::after(Duration::from_secs(2)).cover(endless).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::TimedOut);
        let text = "failed to describe route shop/recs/main: timed out: the invocation's time ran out during this call";
        assert_eq!(error.to_string(), text);
    }

    #[tokio::test(start_paused = true)]
    async fn without_time_left_nothing_is_sent() {
        let sent = std::cell::Cell::new(false);
        let request = async { sent.set(true) };
        let outcome = Deadline::after(Duration::ZERO).cover(within_deadline(|| "tag".to_owned(), request)).await;
        assert_eq!(outcome.unwrap_err().kind, PortErrorKind::TimedOut);
        assert!(!sent.get());
    }

    #[tokio::test]
    async fn without_a_deadline_a_call_takes_what_it_takes() {
        assert_eq!(within_deadline(|| "tag".to_owned(), async { 7 }).await.unwrap(), 7);
    }
}
