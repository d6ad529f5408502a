use async_trait::async_trait;

use crate::PortError;

/// Keeps what is too large for the journal.
#[async_trait]
pub trait ReportStore: Send + Sync + std::fmt::Debug {
    /// Stores `body` under `name`, a relative path with `/` between its parts, and tells where it now lies.
    async fn put(&self, name: &str, body: &[u8]) -> Result<String, PortError>;

    /// What lies under `name`; not found where nothing does.
    async fn get(&self, name: &str) -> Result<Vec<u8>, PortError>;
}
