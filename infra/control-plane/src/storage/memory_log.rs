//! A log in memory that several replicas of one process share. It has every property of a distributed log except
//! durability, and is the reference of the contract suite.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use super::cursors::{EventCursor, EventCursors};
use super::log::{Appended, Entry, Log, LogError, LogItem, LogPage, Sequence, Snapshot};
use super::registry::{EvidenceChunk, Registry, ReplicaRecord};

/// How many items a page has.
const PAGE: usize = 100;

/// A log in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    id: Uuid,
    shared: Arc<(Mutex<MemoryLogContent>, watch::Sender<Sequence>)>,
}

#[derive(Debug, Default)]
struct MemoryLogContent {
    items: BTreeMap<Sequence, LogItem>,
    snapshot: Snapshot,
    replicas: BTreeMap<Uuid, ReplicaRecord>,
    chunks: BTreeMap<(Uuid, u64), EvidenceChunk>,
    cursors: BTreeMap<String, EventCursor>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self { id: Uuid::new_v4(), shared: Arc::new((Mutex::default(), watch::Sender::new(0))) }
    }
}

impl MemoryLog {
    fn content(&self) -> MutexGuard<'_, MemoryLogContent> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last used sequence.
    #[must_use]
    pub fn head(&self) -> Sequence {
        self.content().items.keys().next_back().copied().unwrap_or(0)
    }
}

#[async_trait]
impl Log for MemoryLog {
    fn is_shared(&self) -> bool {
        true
    }

    fn waits(&self) -> bool {
        true
    }

    async fn append(&self, entry: &Entry) -> Result<Appended, LogError> {
        let mut content = self.content();
        if let Some(item) = content.items.get(&entry.sequence) {
            return Ok(Appended::Taken(item.clone()));
        }
        content.items.insert(entry.sequence, LogItem::Entry(entry.clone()));
        drop(content);
        self.shared.1.send_replace(entry.sequence);
        Ok(Appended::Done)
    }

    async fn read(&self, after: Sequence) -> Result<LogPage, LogError> {
        let content = self.content();
        let mut following = content.items.range(after.saturating_add(1)..).peekable();
        let items = following.by_ref().take(PAGE).map(|(_, item)| item.clone()).collect();
        Ok(LogPage { items, more: following.peek().is_some() })
    }

    async fn load_snapshot(&self) -> Result<Snapshot, LogError> {
        Ok(self.content().snapshot.clone())
    }

    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(), LogError> {
        let mut content = self.content();
        if snapshot.sequence > content.snapshot.sequence {
            content.snapshot = snapshot.clone();
        }
        Ok(())
    }

    async fn trim(&self, upto: Sequence) -> Result<(), LogError> {
        for (_, item) in self.content().items.range_mut(..=upto) {
            *item = LogItem::Emptied(item.origin());
        }
        Ok(())
    }

    fn hints(&self) -> Option<watch::Receiver<Sequence>> {
        Some(self.shared.1.subscribe())
    }
}

#[async_trait]
impl Registry for MemoryLog {
    async fn report(&self, record: &ReplicaRecord, changed: &[EvidenceChunk]) -> Result<(), LogError> {
        let mut content = self.content();
        for chunk in changed {
            let stored = content.chunks.get(&(record.id, chunk.number));
            if stored.is_none_or(|stored| stored.generation < chunk.generation) {
                content.chunks.insert((record.id, chunk.number), chunk.clone());
            }
        }
        if content.replicas.get(&record.id).is_none_or(|stored| stored.beat < record.beat) {
            content.replicas.insert(record.id, record.clone());
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ReplicaRecord>, LogError> {
        Ok(self.content().replicas.values().cloned().collect())
    }

    async fn chunks(&self, id: Uuid) -> Result<Vec<EvidenceChunk>, LogError> {
        let content = self.content();
        let of_replica = content.chunks.range((id, 0)..=(id, u64::MAX));
        Ok(of_replica.map(|(_, chunk)| chunk.clone()).collect())
    }

    async fn remove(&self, id: Uuid) -> Result<(), LogError> {
        let mut content = self.content();
        content.replicas.remove(&id);
        content.chunks.retain(|(replica, _), _| *replica != id);
        Ok(())
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }
}

#[async_trait]
impl EventCursors for MemoryLog {
    fn log_id(&self) -> Uuid {
        self.id
    }

    async fn cursor(&self, receiver: &str) -> Result<Option<EventCursor>, LogError> {
        Ok(self.content().cursors.get(receiver).cloned())
    }

    async fn put_cursor(&self, receiver: &str, cursor: &EventCursor) -> Result<EventCursor, LogError> {
        let mut content = self.content();
        match content.cursors.get(receiver) {
            Some(stored) if stored.renewals >= cursor.renewals => Ok(stored.clone()),
            Some(_) | None => {
                content.cursors.insert(receiver.to_owned(), cursor.clone());
                Ok(cursor.clone())
            }
        }
    }
}
