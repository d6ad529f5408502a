use async_trait::async_trait;

use crate::PortError;

/// The source of the policy document.
#[async_trait]
pub trait PolicySource: Send + Sync + std::fmt::Debug {
    /// The present text of the document.
    async fn read(&self) -> Result<String, PortError>;
}

/// The policy document built into a function.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInPolicy(pub &'static str);

#[async_trait]
impl PolicySource for BuiltInPolicy {
    async fn read(&self) -> Result<String, PortError> {
        Ok(self.0.to_owned())
    }
}
