use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::PortError;

/// Queues of messages, as an operator looks after them.
#[async_trait]
pub trait Queues: Debug + Send + Sync {
    /// The address of a queue, by its name or its ARN; an address is returned as it is.
    async fn address(&self, queue: &str) -> Result<String, PortError>;

    /// The addresses of the queues that send what they can't deliver to this one.
    async fn sources(&self, address: &str) -> Result<Vec<String>, PortError>;

    /// Receives some of the messages that no other reader holds, and holds them for so long. None may mean that there are
    /// none.
    async fn receive(&self, address: &str, hold: Duration) -> Result<Vec<QueueMessage>, PortError>;

    /// Lets other readers have a message at once.
    async fn release(&self, address: &str, receipt: &str) -> Result<(), PortError>;

    /// Sends body and attributes of a message.
    async fn send(&self, address: &str, message: &QueueMessage) -> Result<(), PortError>;

    /// Deletes a message that was received.
    async fn delete(&self, address: &str, receipt: &str) -> Result<(), PortError>;
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueMessage {
    /// Its id, the same whenever it is received.
    pub id: String,
    /// What releases or deletes it after this receipt.
    pub receipt: String,
    /// The body.
    pub body: String,
    /// When it was sent.
    pub sent: Option<Timestamp>,
    /// How often it was received.
    pub received: u32,
    /// The ARN of the queue that could not deliver it.
    pub source: Option<String>,
    /// Its group, in a FIFO queue.
    pub group: Option<String>,
    /// The attributes that its sender gave it.
    pub attributes: BTreeMap<String, QueueAttribute>,
}

/// An attribute of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueAttribute {
    /// Its type, as in `String` or `Number.int`.
    pub data_type: String,
    /// Its value.
    pub value: QueueValue,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueValue {
    /// A text or a number.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}
