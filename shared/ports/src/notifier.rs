use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::PortError;

/// Tells people.
#[async_trait]
pub trait Notifier: Send + Sync + std::fmt::Debug {
    /// Sends one notice.
    async fn notify(&self, notice: &Notice) -> Result<(), PortError>;
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whether it should wake somebody.
    pub urgency: Urgency,
    /// One line, at most 100 printable ASCII characters (SNS's limit for a subject).
    pub subject: String,
    /// The whole text.
    pub body: String,
}

/// How soon somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// Now: it wakes people.
    Page,
    /// When convenient.
    Note,
}
