use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::PortError;

/// What an instance was registered with, `AWS_INSTANCE_IPV4` and the like among it.
pub type InstanceAttributes = BTreeMap<String, String>;

/// Knows which instances a service has: AWS Cloud Map.
#[async_trait]
pub trait InstanceDirectory: std::fmt::Debug + Send + Sync {
    /// The instances of a service in a namespace that are healthy, or all of them where none is: what is checked wrongly
    /// must not take away the last one. None at all are a good answer too.
    async fn discover(&self, namespace: &str, service: &str) -> Result<Vec<InstanceAttributes>, PortError>;
}
