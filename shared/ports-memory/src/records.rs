use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Cell, Faults};
use ports::{BusEvent, EventBus, Notice, Notifier, PolicySource, PortError, PortErrorKind, ReportStore};

/// Records the sent notices.
#[derive(Clone, Debug)]
pub struct MemoryNotifier(Cell<Vec<Notice>>);

impl MemoryNotifier {
    /// Creates a recorder without notices.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Vec::new(), faults))
    }

    /// The sent notices, oldest first.
    #[must_use]
    pub fn sent(&self) -> Vec<Notice> {
        self.0.peek(Clone::clone)
    }
}

#[async_trait]
impl Notifier for MemoryNotifier {
    async fn notify(&self, notice: &Notice) -> Result<(), PortError> {
        self.0
            .write("notify", &notice.subject, |sent| {
                sent.push(notice.clone());
                Ok(())
            })
            .await
    }
}

/// Records the published events.
#[derive(Clone, Debug)]
pub struct MemoryBus(Cell<Vec<BusEvent>>);

impl MemoryBus {
    /// Creates a recorder without events.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Vec::new(), faults))
    }

    /// The published events, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<BusEvent> {
        self.0.peek(Clone::clone)
    }
}

#[async_trait]
impl EventBus for MemoryBus {
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError> {
        self.0
            .write("put events", events.len(), |kept| {
                kept.extend_from_slice(events);
                Ok(())
            })
            .await
    }
}

/// Stores reports by name.
#[derive(Clone, Debug)]
pub struct MemoryReports(Cell<BTreeMap<String, Arc<[u8]>>>);

impl MemoryReports {
    /// Creates a store without reports.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(BTreeMap::new(), faults))
    }

    /// Deletes a report, like a bucket's life-cycle rule.
    pub fn remove(&self, name: &str) {
        self.0.poke(|reports| reports.remove(name));
    }

    /// Every report by its name.
    #[must_use]
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.peek(|reports| reports.iter().map(|(name, body)| (name.clone(), body.to_vec())).collect())
    }
}

#[async_trait]
impl ReportStore for MemoryReports {
    async fn put(&self, name: &str, body: &[u8]) -> Result<String, PortError> {
        self.0
            .write("put report", name, |reports| {
                reports.insert(name.to_owned(), body.into());
                Ok(format!("memory:{name}"))
            })
            .await
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>, PortError> {
        self.0
            .read("get report", name, |reports| {
                let missing =
                    || PortError::new(format!("get report {name}"), PortErrorKind::NotFound, "no such report");
                reports.get(name).map(|body| body.to_vec()).ok_or_else(missing)
            })
            .await
    }
}

/// A source with a policy document that tests can replace.
#[derive(Clone, Debug)]
pub struct MemoryPolicy(Cell<String>);

impl MemoryPolicy {
    /// Creates a source with this document.
    pub fn new(text: impl Into<String>, faults: Faults) -> Self {
        Self(Cell::new(text.into(), faults))
    }

    /// Replaces the document.
    pub fn set(&self, text: impl Into<String>) {
        self.0.poke(|policy| *policy = text.into());
    }
}

#[async_trait]
impl PolicySource for MemoryPolicy {
    async fn read(&self) -> Result<String, PortError> {
        self.0.read("read policy", "memory", |policy| Ok(policy.clone())).await
    }
}
