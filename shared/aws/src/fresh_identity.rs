//! Credentials that are fetched again once a service has rejected them.
//!
//! The SDK caches credentials until their stated expiry. Services reject them earlier if the process was frozen or the
//! role's session was revoked. The SDK would send them until their stated expiry.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_config::identity::IdentityCache;
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// The time within which rejections share one renewal: forty concurrent calls are rejected together.
const SAME_RENEWAL: Duration = Duration::from_secs(1);

/// The request for other credentials. All clients of a process share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renewal(Arc<Mutex<RenewalRequest>>);

#[derive(Debug, Default)]
struct RenewalRequest {
    count: u64,
    last: Option<Instant>,
}

impl Renewal {
    /// Makes the SDK fetch the credentials again before the next attempt.
    pub(crate) fn renew(&self) {
        let mut request = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if request.last.is_none_or(|last| last.elapsed() >= SAME_RENEWAL) {
            request.count += 1;
            request.last = Some(Instant::now());
        }
    }

    fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

/// The SDK's cache of identities, replaced by an empty one at each renewal.
#[derive(Debug)]
pub(crate) struct FreshIdentities {
    renewal: Renewal,
    current: Mutex<(u64, SharedIdentityCache)>,
}

impl FreshIdentities {
    /// Creates an empty cache.
    pub(crate) fn new(renewal: Renewal) -> Self {
        let current = Mutex::new((renewal.count(), IdentityCache::lazy().build()));
        Self { renewal, current }
    }

    fn cache(&self) -> SharedIdentityCache {
        let requested = self.renewal.count();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != requested {
            tracing::info!("fetch credentials again: a service rejected the current ones");
            *current = (requested, IdentityCache::lazy().build());
        }
        current.1.clone()
    }
}

impl ResolveCachedIdentity for FreshIdentities {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let cache = self.cache();
        IdentityFuture::new(async move { cache.resolve_cached_identity(resolver, components, config).await })
    }
}
