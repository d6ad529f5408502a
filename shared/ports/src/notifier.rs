use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::PortError;

/// Notifies operators.
#[async_trait]
pub trait Notifier: Send + Sync + std::fmt::Debug {
    /// Sends one notice.
    async fn notify(&self, notice: &Notice) -> Result<(), PortError>;
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whether it pages an operator.
    pub urgency: Urgency,
    /// One line, at most 100 printable ASCII characters (SNS's limit for a subject).
    pub subject: String,
    /// The body.
    pub body: String,
}

/// The urgency of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// It pages an operator now.
    Page,
    /// It can wait.
    Note,
}
