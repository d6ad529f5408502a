use std::collections::BTreeMap;

use async_trait::async_trait;
use mesh::certificates::Fingerprint;
use mesh::policy::HostPort;

use crate::certificates::HandshakeProbe;
use crate::memory::{Cell, Faults};
use crate::{PortError, PortErrorKind};

/// Servers that a test sets by hand: by address, the leaf that each presents.
#[derive(Clone, Debug)]
pub struct MemoryProbe(Cell<BTreeMap<String, Vec<Fingerprint>>>);

impl MemoryProbe {
    /// Nobody answers anywhere.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(BTreeMap::new(), faults))
    }

    /// The leaves of the servers behind an address from now on.
    pub fn set(&self, address: &str, leaves: Vec<Fingerprint>) {
        self.0.poke(|servers| servers.insert(address.to_owned(), leaves));
    }
}

#[async_trait]
impl HandshakeProbe for MemoryProbe {
    async fn leaves(&self, address: &HostPort) -> Result<Vec<Fingerprint>, PortError> {
        let refused = || PortError::new(format!("look at {address}"), PortErrorKind::Unavailable, "nobody answers");
        let leaves = |servers: &BTreeMap<String, Vec<Fingerprint>>| {
            servers.get(&address.to_string()).cloned().ok_or_else(refused)
        };
        self.0.read("look at", address, leaves).await
    }
}
