use async_trait::async_trait;

use crate::PortError;
use crate::certificates::{ProxyEvidence, ProxyStream};
use crate::memory::{Cell, Faults};

/// Streams set by a test.
#[derive(Clone, Debug)]
pub struct MemoryProxies(Cell<Vec<ProxyStream>>);

impl MemoryProxies {
    /// Creates a port without connected proxies.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Vec::new(), faults))
    }

    /// Replaces the streams.
    pub fn set(&self, streams: Vec<ProxyStream>) {
        self.0.poke(|held| *held = streams);
    }

    /// Changes the streams.
    pub fn change(&self, change: impl FnOnce(&mut Vec<ProxyStream>)) {
        self.0.poke(change);
    }
}

#[async_trait]
impl ProxyEvidence for MemoryProxies {
    async fn proxies(&self) -> Result<Vec<ProxyStream>, PortError> {
        self.0.read("list", "proxies", |streams| Ok(streams.clone())).await
    }
}
