use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::PortError;

/// The attributes of an instance, including `AWS_INSTANCE_IPV4` and the like.
pub type InstanceAttributes = BTreeMap<String, String>;

/// Lists the instances of a service: AWS Cloud Map.
#[async_trait]
pub trait InstanceDirectory: std::fmt::Debug + Send + Sync {
    /// The healthy instances of a service in a namespace, or all of them if none is healthy: a wrong health check must
    /// not remove the last instance. An empty list is a valid answer.
    async fn discover(&self, namespace: &str, service: &str) -> Result<Vec<InstanceAttributes>, PortError>;
}
