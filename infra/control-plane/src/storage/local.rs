//! A storage that only this process uses, as a log.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::Storage;
use super::log::{Appended, Entry, Log, LogError, LogPage, Sequence, Snapshot};
use crate::state::Record;

/// The log over a [`Storage`]. Its entries are never read again: the storage keeps the resulting records, which are
/// read once, when it is opened.
#[derive(Debug)]
pub struct LocalLog {
    storage: Mutex<Box<dyn Storage>>,
    waits: bool,
}

impl LocalLog {
    /// A log over this storage.
    #[must_use]
    pub fn new(storage: Box<dyn Storage>) -> Self {
        let waits = storage.waits();
        Self { storage: Mutex::new(storage), waits }
    }

    fn storage(&self) -> MutexGuard<'_, Box<dyn Storage>> {
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Log for LocalLog {
    fn is_shared(&self) -> bool {
        false
    }

    fn waits(&self) -> bool {
        self.waits
    }

    async fn append(&self, entry: &Entry) -> Result<Appended, LogError> {
        self.storage().commit(&entry.records)?;
        Ok(Appended::Done)
    }

    async fn read(&self, _after: Sequence) -> Result<LogPage, LogError> {
        Ok(LogPage::default())
    }

    async fn load_snapshot(&self) -> Result<Snapshot, LogError> {
        Ok(Snapshot::default())
    }

    async fn put_snapshot(&self, _snapshot: &Snapshot) -> Result<(), LogError> {
        Ok(())
    }

    async fn trim(&self, _upto: Sequence) -> Result<(), LogError> {
        Ok(())
    }

    async fn recover(&self, state: &(dyn Fn() -> Vec<Record> + Send + Sync)) -> Result<(), LogError> {
        Ok(self.storage().restart(&state())?)
    }

    fn is_full(&self) -> bool {
        self.storage().is_full()
    }
}
