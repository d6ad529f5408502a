use std::collections::BTreeMap;

use async_trait::async_trait;
use mesh::certificates::Fingerprint;
use policy::HostPort;

use crate::{Cell, Faults};
use ports::certificates::HandshakeProbe;
use ports::{PortError, PortErrorKind};

/// Servers set by a test: by address, the leaf that each presents.
#[derive(Clone, Debug)]
pub struct MemoryProbe(Cell<BTreeMap<String, Vec<Fingerprint>>>);

impl MemoryProbe {
    /// Without servers, every probe is refused.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(BTreeMap::new(), faults))
    }

    /// Sets the leaves of the servers behind an address.
    pub fn set(&self, address: &str, leaves: Vec<Fingerprint>) {
        self.0.poke(|servers| servers.insert(address.to_owned(), leaves));
    }
}

#[async_trait]
impl HandshakeProbe for MemoryProbe {
    async fn leaves(&self, address: &HostPort) -> Result<Vec<Fingerprint>, PortError> {
        let refused = || PortError::new(format!("probe {address}"), PortErrorKind::Unavailable, "connection refused");
        let leaves = |servers: &BTreeMap<String, Vec<Fingerprint>>| {
            servers.get(&address.to_string()).cloned().ok_or_else(refused)
        };
        self.0.read("look at", address, leaves).await
    }
}
