//! The class of a service error.

use ports::PortErrorKind;

/// Classifies a service's error by its code, or by the status if the code is not known. `text` is its message. `skewed`
/// is set if the service's clock differs from the local clock.
pub(crate) fn kind_of(status: u16, code: Option<&str>, text: &str, skewed: bool) -> PortErrorKind {
    let is_error = !(200..300).contains(&status);
    // Gateways and proxies in front of a service report these with codes of their own.
    if is_error && (reports_expired_token(text) || reports_wrong_time(text)) {
        return PortErrorKind::Expired;
    }
    match code.unwrap_or_default() {
        "ExpiredToken" | "ExpiredTokenException" | "RequestTimeTooSkewed" | "RequestExpired" => PortErrorKind::Expired,
        // One code reports a wrong key and a wrong time; only a wrong time may be resolved by a retry.
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "AuthFailure" if skewed => PortErrorKind::Expired,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "TooManyUpdates"
        | "ProvisionedThroughputExceeded"
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
        | "AuthFailure"
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

/// Whether an error text reports a signature with a wrong time, and not with a wrong key.
pub(crate) fn reports_wrong_time(text: &str) -> bool {
    const TEXTS: [&str; 5] = [
        "Signature expired",
        "Signature not yet current",
        "is now earlier than",
        "is now later than",
        "request time and the current time",
    ];
    TEXTS.iter().any(|known| text.contains(known))
}

/// Whether an error text reports an expired session token; the codes for it differ.
pub(crate) fn reports_expired_token(text: &str) -> bool {
    text.contains("security token included in the request is expired") || text.contains("provided token has expired")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_code_has_priority_over_status() {
        use PortErrorKind::{Conflict, Denied, Expired, NotFound, Other, Throttled, TimedOut, Unavailable};
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
            (400, Some("ExpiredTokenException"), Expired),
            (403, Some("ExpiredToken"), Expired),
            (403, Some("RequestTimeTooSkewed"), Expired),
            (403, Some("InvalidSignatureException"), Denied),
            (403, Some("SignatureDoesNotMatch"), Denied),
            (403, Some("UnrecognizedClientException"), Denied),
        ] {
            assert_eq!(kind_of(status, code, "", false), kind, "{status} {code:?}");
        }
    }

    #[test]
    fn signature_with_wrong_time_is_not_a_wrong_key() {
        use PortErrorKind::{Denied, Expired};
        let expired = "Signature expired: 20261130T031500Z is now earlier than 20261130T032000Z";
        let wrong_key = "The request signature we calculated does not match the signature you provided";
        let token = "The security token included in the request is expired";
        for (code, text, skewed, kind) in [
            ("InvalidSignatureException", expired, false, Expired),
            ("SignatureDoesNotMatch", expired, false, Expired),
            ("SignatureDoesNotMatch", "Signature not yet current", false, Expired),
            ("InvalidSignatureException", wrong_key, false, Denied),
            ("InvalidSignatureException", wrong_key, true, Expired),
            ("SignatureDoesNotMatch", wrong_key, false, Denied),
            ("AccessDeniedException", wrong_key, true, Denied),
            ("InvalidClientTokenId", token, false, Expired),
            ("ForbiddenException", expired, false, Expired),
            ("AccessDeniedException", expired, false, Expired),
            ("UnrecognizedClientException", "The security token included in the request is invalid.", false, Denied),
        ] {
            assert_eq!(kind_of(403, Some(code), text, skewed), kind, "{code}: {text}");
        }
    }
}
