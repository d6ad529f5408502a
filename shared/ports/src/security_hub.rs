use async_trait::async_trait;
use serde_json::Value;

use crate::PortError;

/// Where security findings of many tools come together.
#[async_trait]
pub trait SecurityHub: Send + Sync + std::fmt::Debug {
    /// Imports findings in the AWS Security Finding Format; one that is there already, by its `Id`, is updated. Gives
    /// back those that were not taken; the others were.
    async fn import(&self, findings: &[Value]) -> Result<Vec<RefusedFinding>, PortError>;
}

/// A finding that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedFinding {
    /// Its `Id`.
    pub id: String,
    /// Why, by the other side's code.
    pub code: String,
    /// Why, for people.
    pub message: String,
}
