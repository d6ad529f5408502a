//! The receivers of change events.

use std::sync::Arc;

use ports::EventBus;

/// A receiver of change events.
#[derive(Debug, Clone)]
pub struct EventReceiver {
    /// The kind of receiver, for metrics.
    pub kind: ReceiverKind,
    /// Its name in the store and in metrics: `bus:NAME`, or `webhook:` and a hash of the address, which may hold a secret.
    pub name: String,
    /// The connection to the receiver.
    pub bus: Arc<dyn EventBus>,
}

/// The kinds of receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverKind {
    /// An EventBridge event bus.
    Bus,
    /// A web server.
    Webhook,
}

impl ReceiverKind {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Webhook => "webhook",
        }
    }
}
