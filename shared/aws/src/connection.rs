//! The parts that all clients share: one HTTP client, retries, time-outs, and the SDK's own variables.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};

use crate::answer::BoundedAnswers;
use crate::fresh_identity::{FreshIdentities, Renewal};
use crate::retry;
use crate::trusted_roots::trusted_roots;

/// The time-out of a connection. Within a region a connection takes milliseconds. After a second the endpoint is
/// unreachable, and the next attempt may find another address.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The time-out of one attempt. The slowest call here, a full page of alarms, takes well under a second. A longer
/// time-out would leave no time for another attempt.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// The time-out of a call with all its attempts. All attempts fit into it, each with its full time-out, and so do the
/// longest delays between them. The invocation's deadline can end a call earlier.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);

/// The settings that all clients are created from.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The SDK's settings, with our cache of credentials.
    pub(crate) config: SdkConfig,
    /// Makes that cache fetch the credentials again.
    pub(crate) renewal: Renewal,
}

impl Connection {
    /// Reads region, credentials and endpoints from the SDK's own variables and files, and from no other source.
    pub(crate) async fn open() -> Self {
        // All clients share this one, so that the root certificates are parsed once and connections are reused.
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls_context())
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .retry_config(retry::config())
            .timeout_config(timeouts)
            .load()
            .await;
        Self::new(config)
    }

    /// Uses settings that were created elsewhere, as tests do.
    pub(crate) fn new(config: SdkConfig) -> Self {
        let renewal = Renewal::default();
        let http = config.http_client().map(BoundedAnswers::new);
        let mut builder = config.into_builder().identity_cache(FreshIdentities::new(renewal.clone()));
        if let Some(http) = http {
            builder = builder.http_client(http);
        }
        Self { config: builder.build(), renewal }
    }
}

/// The root certificates of this process. With an invalid file no certificate is trusted: falling back to the roots of the
/// machine would accept servers that the file excludes.
fn tls_context() -> TlsContext {
    let roots = trusted_roots(|name| std::env::var_os(name)).unwrap_or_else(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "failed to load root certificates; every TLS connection fails"
        );
        TrustStore::empty()
    });
    TlsContext::builder().with_trust_store(roots).build().unwrap_or_default()
}

/// The settings of one service's client: those of the connection, and retry rules with a separate stock of retries.
macro_rules! client_config {
    ($sdk:ident, $connection:expr) => {{
        let connection: &$crate::connection::Connection = $connection;
        $sdk::config::Builder::from(&connection.config)
            .interceptor($crate::attempts::RecordAttempts)
            .retry_classifier($crate::retry::RetryRules(connection.renewal.clone()))
            .retry_partition($crate::retry::tokens())
    }};
}

/// One service's client.
macro_rules! client {
    ($sdk:ident, $connection:expr) => {
        $sdk::Client::from_conf($crate::connection::client_config!($sdk, $connection).build())
    };
}

pub(crate) use {client, client_config};

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_config::{BehaviorVersion, Region};
    use aws_smithy_runtime_api::box_error::BoxError;
    use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpConnector};
    use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
    use aws_smithy_types::config_bag::ConfigBag;

    use super::*;

    /// Counts the requests for a connector.
    #[derive(Clone, Debug, Default)]
    struct Counting(Arc<AtomicUsize>);

    impl HttpClient for Counting {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            unreachable!("no request is sent")
        }

        fn validate_base_client_config(&self, _: &RuntimeComponentsBuilder, _: &ConfigBag) -> Result<(), BoxError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    fn config(http: impl HttpClient + 'static) -> SdkConfig {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::v2026_01_12()).http_client(http);
        config.region(Region::new("eu-west-1")).build()
    }

    #[test]
    fn clients_are_created_without_connecting() {
        let counting = Counting::default();
        let _ = aws_sdk_appmesh::Client::new(&config(counting.clone()));
        assert_eq!(
            counting.0.load(Ordering::Relaxed),
            1,
            "the SDK validates each client once; remove our own check if this changes"
        );
        let aws = crate::Aws::with_config(config(counting.clone()));
        let _ = (aws.mesh(), aws.alarms(), aws.state("meshwarden"));
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    }
}
