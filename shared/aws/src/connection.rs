//! What all clients share: one HTTP client, retries, time-outs, and the SDK's own variables.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// How long a connection may take. Within a region it takes milliseconds; after a second the endpoint is not there, and
/// the next attempt may find another address.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one attempt may take. The slowest call here, a full page of alarms, answers in well under a second; longer
/// waits would leave no time for another attempt.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a call may take with all its attempts. A call is cut short earlier by the invocation's deadline.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a call is tried. Three attempts ride out a lost connection or a throttled second; what lasts longer is
/// Lambda's retry to deal with, or the next minute's wake.
pub const ATTEMPTS: u32 = 3;

/// Reads region, credentials and endpoints by the SDK's own variables and files, and by nothing else.
pub(crate) async fn open() -> SdkConfig {
    // All clients share this one, so that the root certificates are parsed once and connections are reused.
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::adaptive().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
        .load()
        .await
}
