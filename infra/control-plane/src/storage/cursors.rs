//! The cursors of the receivers of change events, in a shared store.
//!
//! A cursor is also a lease: the replica that owns it sends, and renews it at intervals. A put has to increase the number
//! of renewals, so of two replicas that take over a cursor, or of a late put and a newer one, only one succeeds.

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use super::log::{LogError, Sequence};

/// The events that a receiver has, and the replica that sends the next ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCursor {
    /// The replica that sends; `None` after it ended in order.
    pub owner: Option<Uuid>,
    /// Increased by each put.
    pub renewals: u64,
    /// The receiver has every event up to this entry of the log.
    pub sequence: Sequence,
    /// The number of events of the next entry that the receiver has.
    pub events: u64,
}

/// The cursors of a shared store.
#[async_trait]
pub trait EventCursors: fmt::Debug + Send + Sync {
    /// The id of the log, which is part of the id of each event.
    fn log_id(&self) -> Uuid;

    /// The cursor of a receiver, if it has one. The read begins after the call.
    async fn cursor(&self, receiver: &str) -> Result<Option<EventCursor>, LogError>;

    /// Stores a cursor, unless the stored one has as many renewals or more. Returns the cursor that is stored then.
    async fn put_cursor(&self, receiver: &str, cursor: &EventCursor) -> Result<EventCursor, LogError>;
}
