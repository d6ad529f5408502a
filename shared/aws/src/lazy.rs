use std::sync::{Arc, OnceLock};

use aws_config::SdkConfig;

/// A client that is made when it is first needed: most invocations send no notice and write no report.
pub(crate) struct Lazy<C> {
    config: SdkConfig,
    make: fn(&SdkConfig) -> C,
    client: Arc<OnceLock<C>>,
}

impl<C> Lazy<C> {
    pub(crate) fn new(config: &SdkConfig, make: fn(&SdkConfig) -> C) -> Self {
        Self { config: config.clone(), make, client: Arc::default() }
    }

    pub(crate) fn client(&self) -> &C {
        self.client.get_or_init(|| (self.make)(&self.config))
    }
}

impl<C> Clone for Lazy<C> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone(), make: self.make, client: Arc::clone(&self.client) }
    }
}

impl<C> std::fmt::Debug for Lazy<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lazy").field("made", &self.client.get().is_some()).finish_non_exhaustive()
    }
}
