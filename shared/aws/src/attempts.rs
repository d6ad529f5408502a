//! Records the outcome of each attempt of a call. The SDK returns only the last error, and a time-out hides the
//! throttles before it.
//!
//! ```text
//! call() opens a CallLog for its task ──▶ RecordAttempts (interceptor) writes it ──▶ RetryRules (classifier) and the
//!                                                                                    error's class read it
//! ```

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef, Error,
    FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use ports::PortErrorKind;

use crate::answer::{MOST_PAGES, ResponseLimit};
use crate::error_kind::{kind_of, reports_expired_token};

tokio::task_local! {
    static LOG: Mutex<CallLog>;
}

/// The attempts of the current task's call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallLog {
    /// The service and its operation in the SDK's notation, as in `App Mesh DescribeMesh`; empty before
    /// the first attempt.
    pub(crate) operation: String,
    /// The number of pages that were requested.
    pub(crate) pages: u32,
    /// The request of the newest page. Two identical requests have the same token, so the list does not end.
    page: Option<(String, Vec<u8>)>,
    /// The number of attempts that were started.
    pub(crate) begun: u32,
    /// Whether the newest attempt was sent and has no response yet.
    pub(crate) in_flight: bool,
    /// The failed attempts, in order.
    pub(crate) failures: Vec<AttemptFailure>,
}

/// Logs a call that its caller dropped. Without this, an invocation that runs out of time would not log what
/// it waited for.
struct UnfinishedCall {
    is_over: bool,
}

impl Drop for UnfinishedCall {
    fn drop(&mut self) {
        let log = CallLog::current();
        if !self.is_over && !log.operation.is_empty() {
            let error = format!("no answer in time{}{}", log.history(), log.named());
            tracing::warn!(error, attempts = log.begun, "dropped a call without a response");
        }
    }
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptFailure {
    /// The class of the failure.
    pub(crate) kind: PortErrorKind,
    /// The service's error code, if a retry depends on it.
    pub(crate) code: Option<&'static str>,
    /// Whether the service may accept other credentials.
    pub(crate) renews: bool,
    /// The HTTP status of the response, if there was one.
    pub(crate) status: Option<u16>,
}

impl CallLog {
    /// Runs a call and returns its output with its log.
    pub(crate) async fn keep<T>(call: impl Future<Output = T>) -> (T, Self) {
        LOG.scope(Mutex::default(), async {
            let mut unfinished = UnfinishedCall { is_over: false };
            let outcome = call.await;
            unfinished.is_over = true;
            (outcome, Self::current())
        })
        .await
    }

    /// The log of the current task's call; empty outside a call.
    pub(crate) fn current() -> Self {
        LOG.try_with(|log| log.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    fn update(change: impl FnOnce(&mut Self)) {
        // Outside a call no log exists, for example in a client that a test uses directly.
        LOG.try_with(|log| change(&mut log.lock().unwrap_or_else(PoisonError::into_inner))).ok();
    }

    /// The failure that explains why a call ended without a response. This is the last failure, if the call was waiting
    /// for its next attempt. It is `None` if an attempt was in flight, because its outcome is unknown.
    pub(crate) fn last_answer(&self) -> Option<&AttemptFailure> {
        self.failures.last().filter(|_| !self.in_flight)
    }

    /// The class of an earlier attempt with an unknown outcome, if there is one. A later response does not prove that
    /// the earlier attempt changed nothing.
    pub(crate) fn unknown(&self) -> Option<PortErrorKind> {
        let earlier = self.failures.iter().rev().skip(usize::from(!self.in_flight));
        let mut kinds = earlier.map(|failure| failure.kind);
        kinds.find(|kind| matches!(kind, PortErrorKind::TimedOut | PortErrorKind::Unavailable))
    }

    /// The service and its operation, formatted for an error message.
    pub(crate) fn named(&self) -> String {
        if self.operation.is_empty() { String::new() } else { format!(" [{}]", self.operation) }
    }

    /// The classes of the failed attempts, formatted for an error message; empty if the last error alone
    /// explains the call.
    pub(crate) fn history(&self) -> String {
        let mut kinds = self.failures.iter().map(|failure| failure.kind);
        let first = kinds.next();
        let is_uniform = kinds.all(|kind| Some(kind) == first) && !self.in_flight;
        if self.begun < 2 || is_uniform {
            return String::new();
        }
        let kinds: Vec<&str> = self.failures.iter().map(|failure| failure.kind.name()).collect();
        format!(", attempts: {}", kinds.join(", "))
    }
}

/// Records each attempt in the log of the current task's call.
#[derive(Debug)]
pub(crate) struct RecordAttempts;

impl Intercept for RecordAttempts {
    fn name(&self) -> &'static str {
        "RecordAttempts"
    }

    // A call of several pages is one call for the caller, and one execution per page for the SDK.
    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut pages = 0;
        CallLog::update(|log| {
            pages = log.pages + 1;
            let (operation, page) = (std::mem::take(&mut log.operation), log.page.take());
            *log = CallLog { operation, pages, page, ..CallLog::default() };
        });
        if pages > MOST_PAGES { Err(ResponseLimit::Pages.into()) } else { Ok(()) }
    }

    // The SDK silently ends a list when a token repeats, and the items left out would look deleted. The paginators
    // therefore continue on a repeated token, and the same request twice is an error.
    fn read_after_serialization(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let page = (request.uri().to_owned(), request.body().bytes().unwrap_or_default().to_vec());
        let mut repeats = false;
        CallLog::update(|log| {
            repeats = log.pages > 1 && log.page.as_ref() == Some(&page);
            log.page = Some(page);
        });
        if repeats { Err(ResponseLimit::RepeatedToken.into()) } else { Ok(()) }
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        CallLog::update(|log| {
            log.begun += 1;
            if log.operation.is_empty()
                && let Some(operation) = config.load::<Metadata>()
            {
                log.operation = format!("{} {}", operation.service(), operation.name());
            }
        });
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        CallLog::update(|log| log.in_flight = true);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let now = components.time_source().map(|clock| clock.now());
        let failure = context
            .output_or_error()
            .and_then(Result::err)
            .map(|error| AttemptFailure::new(error, context.response(), now));
        CallLog::update(|log| {
            log.in_flight = false;
            log.failures.extend(failure);
        });
        Ok(())
    }
}

/// The error codes of throttling.
const THROTTLES: [&str; 10] = [
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "SlowDown",
    "TooManyUpdates",
    "KMSThrottling",
    "Throttling",
];

/// The error codes of a rejected signature: some for a wrong key, some for a wrong time.
const SIGNATURES: [&str; 5] =
    ["RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure"];

/// The error codes of rejected credentials that were valid before, or will be valid shortly.
const CREDENTIALS: [&str; 4] =
    ["ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"];

/// The error code of an exceeded quota. The SDK treats it as a throttle, but no retry raises a quota.
pub(crate) const QUOTA: &str = "LimitExceededException";

/// The code for a response that exceeds the bounds: no retry makes it shorter.
pub(crate) const TOO_LONG: &str = "AnswerTooLong";

/// The number of bytes of a response that are searched for an error code.
const SCANNED: usize = 2048;

impl AttemptFailure {
    /// Classifies a failed attempt. The error's own type is not known here, so the code is searched for in the
    /// response. All protocols have it in plain text, in a header or in the body.
    pub(crate) fn new(
        error: &OrchestratorError<Error>,
        response: Option<&HttpResponse>,
        now: Option<SystemTime>,
    ) -> Self {
        let without_answer = |kind| Self { kind, code: None, renews: false, status: None };
        if error.is_timeout_error() {
            return without_answer(PortErrorKind::TimedOut);
        }
        if let Some(connector) = error.as_connector_error() {
            return without_answer(match connector {
                connector if connector.is_timeout() => PortErrorKind::TimedOut,
                connector if connector.is_user() => PortErrorKind::Other,
                _ => PortErrorKind::Unavailable,
            });
        }
        if ResponseLimit::find_in(error).is_some() {
            let status = response.map(|response| response.status().as_u16());
            return Self { code: Some(TOO_LONG), status, ..without_answer(PortErrorKind::Other) };
        }
        let Some(response) = response else { return without_answer(PortErrorKind::Other) };
        let skewed = now.is_some_and(|now| is_skewed(response, now));
        Self::of_answer(response.status().as_u16(), &text_of(response), skewed)
    }

    fn of_answer(status: u16, text: &str, skewed: bool) -> Self {
        let is_error = !(200..300).contains(&status);
        let known = THROTTLES.into_iter().chain(SIGNATURES).chain(CREDENTIALS).chain([QUOTA]);
        let code = known.into_iter().find(|code| is_error && text.contains(code));
        Self {
            kind: kind_of(status, code, text, skewed),
            code,
            renews: code.is_some_and(|code| CREDENTIALS.contains(&code)) || is_error && reports_expired_token(text),
            status: Some(status),
        }
    }
}

/// The headers and the beginning of the body, which contain the code of an error.
fn text_of(response: &HttpResponse) -> String {
    let headers =
        ["x-amzn-errortype", "x-amzn-query-error"].map(|name| response.headers().get(name).unwrap_or_default());
    let body = response.body().bytes().unwrap_or_default();
    let body = String::from_utf8_lossy(body.get(..SCANNED).unwrap_or(body));
    format!("{} {} {body}", headers[0], headers[1])
}

/// The difference between two clocks from which a clock is wrong. AWS accepts five minutes. The SDK blames the clock
/// from four minutes on.
const SKEW: Duration = Duration::from_mins(4);

/// Whether the `date` header of the response differs too much from `now`.
pub(crate) fn is_skewed(response: &HttpResponse, now: SystemTime) -> bool {
    let date = response.headers().get("date").and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    let Some(there) = date.and_then(|date| SystemTime::try_from(date).ok()) else { return false };
    let apart = there.duration_since(now).or_else(|_| now.duration_since(there));
    apart.is_ok_and(|apart| apart > SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_code_is_found_in_every_protocol() {
        use PortErrorKind::{Denied, Expired, Other, Throttled, Unavailable};
        for (status, text, kind, renews) in [
            (400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#, Throttled, false),
            (400, "ProvisionedThroughputExceededException:http://internal.amazon.com/ {}", Throttled, false),
            (429, "TooManyRequestsException {}", Throttled, false),
            (429, "", Throttled, false),
            (400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", Throttled, false),
            (503, "<Error><Code>SlowDown</Code></Error>", Throttled, false),
            (503, "", Unavailable, false),
            (500, "{}", Unavailable, false),
            (
                403,
                r#"{"__type":"InvalidSignatureException","message":"Signature expired: 20261130T031500Z is now earlier than 20261130T032000Z (20261130T032500Z - 5 min.)"}"#,
                Expired,
                false,
            ),
            (
                403,
                "<Code>SignatureDoesNotMatch</Code><Message>Signature not yet current: 1 is still later than 2</Message>",
                Expired,
                false,
            ),
            (
                403,
                "<Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match</Message>",
                Denied,
                false,
            ),
            (403, "<Code>RequestTimeTooSkewed</Code>", Expired, false),
            (
                400,
                r#"{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}"#,
                Expired,
                true,
            ),
            (403, "<Code>ExpiredToken</Code><Message>The provided token has expired.</Message>", Expired, true),
            (
                403,
                r#"{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#,
                Denied,
                true,
            ),
            (400, r#"{"__type":"AccessDeniedException"}"#, Other, false),
            (403, r#"{"__type":"AccessDeniedException"}"#, Denied, false),
            (400, "LimitExceededException", Other, false),
            (200, "ThrottlingException in the body of a successful response", Other, false),
        ] {
            let failure = AttemptFailure::of_answer(status, text, false);
            assert_eq!((failure.kind, failure.renews), (kind, renews), "{status} {text}");
        }
        let skewed = AttemptFailure::of_answer(403, "InvalidSignatureException", true);
        assert_eq!(skewed.kind, Expired, "by the clocks");
    }

    #[test]
    fn earlier_unknown_outcome_is_kept() {
        use PortErrorKind::{Throttled, TimedOut, Unavailable};
        let log = |kinds: &[PortErrorKind], in_flight| CallLog {
            operation: String::new(),
            pages: 1,
            page: None,
            begun: 3,
            in_flight,
            failures: kinds
                .iter()
                .map(|kind| AttemptFailure { kind: *kind, code: None, renews: false, status: None })
                .collect(),
        };
        for (kinds, in_flight, unknown) in [
            (&[Throttled, Throttled][..], false, None),
            (&[TimedOut, Throttled], false, Some(TimedOut)),
            (&[Throttled, TimedOut], false, None),
            (&[Throttled, Unavailable], true, Some(Unavailable)),
            (&[], false, None),
        ] {
            assert_eq!(log(kinds, in_flight).unknown(), unknown, "{kinds:?}");
        }
        assert_eq!(log(&[Throttled], false).last_answer().map(|failure| failure.kind), Some(Throttled));
        assert_eq!(log(&[Throttled], true).last_answer(), None, "an attempt is under way");
    }
}
