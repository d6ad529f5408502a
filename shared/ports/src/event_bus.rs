use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::PortError;

/// Publishes Meshwarden's own events for other programs.
#[async_trait]
pub trait EventBus: Send + Sync + std::fmt::Debug {
    /// Publishes these events; all or none.
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError>;
}

/// One event. The bus sets its source: `meshwarden`, or `meshwarden.appmesh` for writes to meshes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BusEvent {
    /// The detail type, for example `Meshwarden Decision`.
    pub detail_type: String,
    /// The detail.
    pub detail: serde_json::Value,
    /// The ARNs of its resources.
    pub resources: Vec<String>,
}
