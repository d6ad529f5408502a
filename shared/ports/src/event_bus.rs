use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::PortError;

/// Puts Meshwarden's own events where others can react to them.
#[async_trait]
pub trait EventBus: Send + Sync + std::fmt::Debug {
    /// Puts these events; all or an error.
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError>;
}

/// One event. Its source is the bus's business: `meshwarden`, or `meshwarden.appmesh` for writes to meshes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BusEvent {
    /// What kind of event, as in `Meshwarden Decision`.
    pub detail_type: String,
    /// Its content.
    pub detail: serde_json::Value,
    /// ARNs of the resources that it speaks of.
    pub resources: Vec<String>,
}
