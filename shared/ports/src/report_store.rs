use async_trait::async_trait;

use crate::PortError;

/// Stores objects that are too large for the journal.
#[async_trait]
pub trait ReportStore: Send + Sync + std::fmt::Debug {
    /// Stores `body` under `name`, a relative path with `/` between its parts, and returns its location.
    async fn put(&self, name: &str, body: &[u8]) -> Result<String, PortError>;

    /// The object under `name`; not found if it does not exist.
    async fn get(&self, name: &str) -> Result<Vec<u8>, PortError>;
}
