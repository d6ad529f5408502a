use async_trait::async_trait;

use crate::{Cell, Faults};
use ports::PortError;
use ports::certificates::{ProxyEvidence, ProxyReport, ProxyStream, UnknownProxies};

/// Streams and unknown proxies, set by a test.
#[derive(Clone, Debug)]
pub struct MemoryProxies(Cell<ProxyReport>);

impl MemoryProxies {
    /// Creates a port without connected proxies.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(ProxyReport::default(), faults))
    }

    /// Replaces the streams.
    pub fn set(&self, streams: Vec<ProxyStream>) {
        self.0.poke(|report| report.streams = streams);
    }

    /// Changes the streams.
    pub fn change(&self, change: impl FnOnce(&mut Vec<ProxyStream>)) {
        self.0.poke(|report| change(&mut report.streams));
    }

    /// Replaces the unknown proxies.
    pub fn set_unknown(&self, unknown: Vec<UnknownProxies>) {
        self.0.poke(|report| report.unknown = unknown);
    }
}

#[async_trait]
impl ProxyEvidence for MemoryProxies {
    async fn proxies(&self) -> Result<Vec<ProxyStream>, PortError> {
        self.report().await?.complete()
    }

    async fn report(&self) -> Result<ProxyReport, PortError> {
        self.0.read("list", "proxies", |report| Ok(report.clone())).await
    }
}
