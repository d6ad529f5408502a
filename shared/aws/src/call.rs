//! Runs every call the same way: within the invocation's deadline, and with its failure classified once.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ports::{Deadline, DeniedCalls, PortError, PortErrorKind};

use crate::answer::ResponseLimit;
use crate::attempts::{AttemptFailure, CallLog, is_skewed};
use crate::error_kind::kind_of;

/// A failed call: the SDK's error, which is that of the last attempt, and the log of all attempts.
#[derive(Debug)]
pub(crate) struct Failed<E> {
    error: SdkError<E, HttpResponse>,
    log: CallLog,
}

impl<E> Failed<E> {
    /// The service's own error, if the service sent a response.
    pub(crate) fn as_service_error(&self) -> Option<&E> {
        self.error.as_service_error()
    }
}

/// Waits for `request` until the deadline of the running invocation. `what` names the operation, as in `describe route`.
pub(crate) fn call<T, E>(
    what: impl Fn() -> String,
    request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> impl Future<Output = Result<T, PortError>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    // The SDK's futures take tens of kilobytes. Boxed here, they keep the futures of the handlers small.
    let request = Box::pin(request);
    async move { within_deadline(&what, request).await?.map_err(|error| classify(what(), error)) }
}

/// Waits for `request` until the deadline of the running invocation, without classifying its error.
pub(crate) fn within_deadline<T, E>(
    what: impl Fn() -> String,
    request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> impl Future<Output = Result<Result<T, Failed<E>>, PortError>> {
    let request = Box::pin(request);
    async move {
        let (outcome, log) = CallLog::keep(until_deadline(&what, request)).await;
        match outcome {
            Ok(answer) => Ok(answer.map_err(|error| Failed { error, log })),
            Err(late) => Err(explain(late, &log)),
        }
    }
}

/// Waits for `work` until the deadline of the running invocation.
pub(crate) fn until_deadline<T>(
    what: impl Fn() -> String,
    work: impl Future<Output = T>,
) -> impl Future<Output = Result<T, PortError>> {
    let work = Box::pin(work);
    async move {
        let Some(left) = Deadline::remaining() else {
            return Ok(work.await);
        };
        let late = |message: &str| PortError::new(what(), PortErrorKind::TimedOut, message);
        if left < Duration::from_millis(1) {
            // The request is not sent: there would be no time to use the response.
            return Err(late("the invocation has no time left for this call"));
        }
        tokio::time::timeout(left, work).await.map_err(|_| late("the invocation's time ran out during this call"))
    }
}

/// Gives a time-out the class of the failure before it, if the call was waiting for its next attempt. The time ran out,
/// but the cause is the throttle or the server's error.
fn explain(late: PortError, log: &CallLog) -> PortError {
    let history = format!("{}{}", log.history(), log.named());
    match log.last_answer() {
        Some(AttemptFailure { kind, code, .. }) => {
            let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
            let message = format!("no time was left for another attempt{code}: {}{history}", late.message);
            PortError { kind: *kind, message, ..late }
        }
        None => PortError { message: format!("{}{history}", late.message), ..late },
    }
}

/// The maximum length of a service's text in an error, in characters. The text reaches log lines, records and pages.
const LONGEST_TEXT: usize = 1_000;

/// A service's text without characters that act on a terminal, cut off where it is longer than any real message.
fn bounded(text: &str) -> String {
    let mut kept: String = text
        .chars()
        .take(LONGEST_TEXT)
        .map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character })
        .collect();
    if text.chars().nth(LONGEST_TEXT).is_some() {
        kept.push('…');
    }
    kept
}

/// Classifies a failed call. The SDK has already made its retries.
pub(crate) fn classify<E>(call: String, failed: Failed<E>) -> PortError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let Failed { error, log } = failed;
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
            (PortErrorKind::Other, format!("an unreadable response with status {}", answer.raw().status()))
        }
        SdkError::ServiceError(answer) if answer.raw().status().is_success() => {
            (PortErrorKind::Other, format!("an unreadable response with status {}", answer.raw().status().as_u16()))
        }
        SdkError::ServiceError(answer) => {
            let (status, code) = (answer.raw().status().as_u16(), answer.err().code());
            let text = answer.err().message().unwrap_or("no message");
            let skewed = is_skewed(answer.raw(), SystemTime::now());
            (kind_of(status, code, text, skewed), format!("{text} ({}, status {status})", code.unwrap_or("no code")))
        }
        _ => (PortErrorKind::Other, "an unknown failure".to_owned()),
    };
    // Some causes are only in the sources of the SDK's error, for example a name that does not resolve. The message
    // includes them.
    let message = match (ResponseLimit::find_in(&error), &error, request_id(&error)) {
        (Some(why), ..) => why.to_string(),
        (None, _, Some(id)) => format!("{message}, request {id}"),
        (None, SdkError::ServiceError(answer), None) if !answer.raw().status().is_success() => message,
        (None, _, None) => format!("{message}: {}", with_sources(&error)),
    };
    let message = format!("{}{}{}", bounded(&message), log.history(), log.named());
    if kind == PortErrorKind::Denied {
        DeniedCalls::record();
    }
    let known = PortError { call, kind, message, source: Some(Box::new(error)) };
    match (kind, log.unknown()) {
        // The time for all attempts ran out between two of them.
        (PortErrorKind::TimedOut, _) if log.last_answer().is_some_and(|last| last.kind != PortErrorKind::TimedOut) => {
            explain(known, &log)
        }
        // These classes mean that nothing was changed, which would be true of the last attempt only.
        (PortErrorKind::Throttled | PortErrorKind::Expired, Some(unknown)) => PortError { kind: unknown, ..known },
        _ => known,
    }
}

/// Formats an error with its sources. The SDK's own display of a chain ends with the error's debug text, which no
/// operator reads.
pub(crate) fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Whether there are no credentials to sign the request with. The SDK reports this like a lost connection, but no retry
/// finds credentials.
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

fn request_id<E>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    let headers = error.raw_response()?.headers();
    headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_text_is_bounded_and_escaped() {
        assert_eq!(bounded("Rate exceeded"), "Rate exceeded");
        assert_eq!(bounded("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(bounded(&"é".repeat(5_000_000)).chars().count(), LONGEST_TEXT + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn call_ends_at_the_deadline() {
        let what = || "describe route shop/recs/main".to_owned();
        let endless = until_deadline(what, std::future::pending::<()>());
        let error = Deadline::after(Duration::from_secs(2)).cover(endless).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::TimedOut);
        let text = "failed to describe route shop/recs/main: timed out: the invocation's time ran out during this call";
        assert_eq!(error.to_string(), text);
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_is_sent_after_the_deadline() {
        let sent = std::cell::Cell::new(false);
        let request = async { sent.set(true) };
        let outcome = Deadline::after(Duration::ZERO).cover(until_deadline(|| "tag".to_owned(), request)).await;
        assert_eq!(outcome.unwrap_err().kind, PortErrorKind::TimedOut);
        assert!(!sent.get());
    }

    #[tokio::test]
    async fn call_without_deadline_is_not_limited() {
        assert_eq!(until_deadline(|| "tag".to_owned(), async { 7 }).await.unwrap(), 7);
    }
}
