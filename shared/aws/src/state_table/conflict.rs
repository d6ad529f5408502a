//! Which cancelled transactions the SDK retries.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::CancellationReason;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};

/// Retries a transaction that was cancelled only because another one changed the same items. Two routes that spend from
/// one budget at once are an example. A failed condition is still returned without a retry.
#[derive(Debug)]
pub(crate) struct RetryConflicts;

impl ClassifyRetry for RetryConflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        match error.and_then(|error| error.downcast_ref::<TransactWriteItemsError>()) {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled))
                if is_transient(cancelled.cancellation_reasons()) =>
            {
                RetryAction::transient_error()
            }
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "RetryConflicts"
    }
}

/// Whether only other transactions or load caused the cancellation.
fn is_transient(reasons: &[CancellationReason]) -> bool {
    let mut passing = false;
    for reason in reasons {
        match reason.code() {
            Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => passing = true,
            Some("None") | None => {}
            Some(_) => return false,
        }
    }
    passing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_reasons_are_retried() {
        for (codes, expected) in [
            (&["None", "TransactionConflict"][..], true),
            (&["ThrottlingError", "None"], true),
            (&["ConditionalCheckFailed", "TransactionConflict"], false),
            (&["ConditionalCheckFailed", "None"], false),
            (&["ValidationError"], false),
            (&["None"], false),
            (&[], false),
        ] {
            let reasons: Vec<_> = codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
            assert_eq!(is_transient(&reasons), expected, "{codes:?}");
        }
    }
}
