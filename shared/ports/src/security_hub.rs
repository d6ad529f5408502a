use async_trait::async_trait;
use serde_json::Value;

use crate::PortError;

/// AWS Security Hub, which collects findings of many tools.
#[async_trait]
pub trait SecurityHub: Send + Sync + std::fmt::Debug {
    /// Imports findings in the AWS Security Finding Format; an existing finding with the same `Id` is updated. Returns
    /// the rejected findings; all others were accepted.
    async fn import(&self, findings: &[Value]) -> Result<Vec<RefusedFinding>, PortError>;
}

/// A rejected finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedFinding {
    /// Its `Id`.
    pub id: String,
    /// The error code of the service.
    pub code: String,
    /// The error message.
    pub message: String,
}
