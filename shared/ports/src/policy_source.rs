use async_trait::async_trait;

use crate::PortError;

/// Where the policy document lies.
#[async_trait]
pub trait PolicySource: Send + Sync + std::fmt::Debug {
    /// The document's text as it is now.
    async fn read(&self) -> Result<String, PortError>;
}

/// The policy document that a function was built with.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInPolicy(pub &'static str);

#[async_trait]
impl PolicySource for BuiltInPolicy {
    async fn read(&self) -> Result<String, PortError> {
        Ok(self.0.to_owned())
    }
}
