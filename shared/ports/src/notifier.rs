use async_trait::async_trait;
use records::Notice;

use crate::PortError;

/// Notifies operators.
#[async_trait]
pub trait Notifier: Send + Sync + std::fmt::Debug {
    /// Sends one notice.
    async fn notify(&self, notice: &Notice) -> Result<(), PortError>;
}
