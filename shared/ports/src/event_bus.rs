use async_trait::async_trait;
use records::BusEvent;

use crate::PortError;

/// Publishes Meshwarden's own events for other programs.
#[async_trait]
pub trait EventBus: Send + Sync + std::fmt::Debug {
    /// Publishes these events; all or none.
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError>;
}
