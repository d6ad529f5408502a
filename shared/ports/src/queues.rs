use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::PortError;

/// Dead-letter queues, for operators.
#[async_trait]
pub trait Queues: Debug + Send + Sync {
    /// The URL of a queue, by its name or its ARN; a URL is returned unchanged.
    async fn address(&self, queue: &str) -> Result<String, PortError>;

    /// The URLs of the queues with this one as their dead-letter queue.
    async fn sources(&self, address: &str) -> Result<Vec<String>, PortError>;

    /// Receives some of the visible messages, and hides them from other readers for this long. An empty list does not
    /// prove that the queue is empty.
    async fn receive(&self, address: &str, hold: Duration) -> Result<Vec<QueueMessage>, PortError>;

    /// Makes a message visible to other readers at once.
    async fn release(&self, address: &str, receipt: &str) -> Result<(), PortError>;

    /// Sends a message with body and attributes.
    async fn send(&self, address: &str, message: &QueueMessage) -> Result<(), PortError>;

    /// Deletes a received message.
    async fn delete(&self, address: &str, receipt: &str) -> Result<(), PortError>;
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueMessage {
    /// Its id, the same at every receipt.
    pub id: String,
    /// The receipt handle, to release or delete it.
    pub receipt: String,
    /// The body.
    pub body: String,
    /// When it was sent.
    pub sent: Option<Timestamp>,
    /// The number of its receipts.
    pub received: u32,
    /// The ARN of the source queue that could not deliver it.
    pub source: Option<String>,
    /// Its message group, in a FIFO queue.
    pub group: Option<String>,
    /// The attributes set by its sender.
    pub attributes: BTreeMap<String, QueueAttribute>,
}

/// An attribute of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueAttribute {
    /// Its type, for example `String` or `Number.int`.
    pub data_type: String,
    /// Its value.
    pub value: QueueValue,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueValue {
    /// A text or a number.
    Text(String),
    /// Binary data.
    Binary(Vec<u8>),
}
