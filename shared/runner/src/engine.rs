//! The services that the engine uses, and its state between invocations.

use std::sync::Arc;

use async_trait::async_trait;
use policy::{Policy, PolicyError};
use ports::{Clock, EventBus, Notifier, PortError, PortErrorKind, ReportStore, StateStore};

use crate::failure_memory::FailureMemory;
use crate::policy_keeper::PolicyKeeper;
use crate::standstill_memory::StandstillMemory;

/// The services that the engine itself uses.
#[derive(Clone, Debug)]
pub struct EnginePorts {
    /// Reads the present time.
    pub clock: Arc<dyn Clock>,
    /// Stores documents, leases, budgets and the journal.
    pub state: Arc<dyn StateStore>,
    /// Sends notices to operators.
    pub notifier: Arc<dyn Notifier>,
    /// Publishes events for other programs.
    pub bus: Arc<dyn EventBus>,
    /// Stores large observations.
    pub reports: Arc<dyn ReportStore>,
}

/// Stores no observation: for a function without a configured reports store.
#[derive(Clone, Copy, Debug)]
pub struct NoReports;

#[async_trait]
impl ReportStore for NoReports {
    async fn put(&self, name: &str, _: &[u8]) -> Result<String, PortError> {
        Err(PortError::new(format!("store {name}"), PortErrorKind::Other, "no reports store is configured"))
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>, PortError> {
        Err(PortError::new(format!("read {name}"), PortErrorKind::NotFound, "no reports store is configured"))
    }
}

/// The state of the engine between invocations.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) ports: EnginePorts,
    pub(crate) policy: PolicyKeeper<Policy, PolicyError>,
    pub(crate) failures: FailureMemory,
    pub(crate) standstills: StandstillMemory,
}
