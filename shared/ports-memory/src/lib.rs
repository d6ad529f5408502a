//! In-memory versions of the ports, for tests of logic: they enforce the same conditions as the real services, and can
//! fail at every call in every way that the real ones can.
//!
//! ```text
//! test ──▶ Faults: at call 7, lose the answer        every call of every port
//!             └────────────────────────────────▶ ─────────▶ passes through here ─▶ state
//! ```
//!
//! A test first runs without faults and records [`Faults::calls`]; then it runs again for each of these calls, with
//! each [`Fault::every`] at that call.

mod alarms;
mod cell;
#[cfg(feature = "certificates")]
pub mod certificates;
mod clock;
mod config_rules;
mod faults;
mod functions;
mod instances;
mod mesh;
mod metrics;
mod records;
mod security_hub;
mod state;

use cell::Cell;
use jiff::Timestamp;

pub use self::mesh::{ACCOUNT, MemoryMesh};
pub use alarms::MemoryAlarms;
pub use clock::ManualClock;
pub use config_rules::MemoryConfigRules;
pub use faults::{Call, Effect, Failure, Fault, Faults, Gate};
pub use functions::MemoryFunctions;
pub use instances::MemoryInstances;
pub use metrics::MemoryMetrics;
pub use records::{MemoryBus, MemoryNotifier, MemoryPolicy, MemoryReports};
pub use security_hub::MemorySecurityHub;
pub use state::MemoryState;

/// The seed of the identifiers of certificates.
#[cfg(feature = "certificates")]
const SEED: u64 = 1;

/// One of each port, with shared faults. Clones share all state.
#[derive(Clone, Debug)]
pub struct MemoryPorts {
    /// The injected faults.
    pub faults: Faults,
    /// The time.
    pub clock: ManualClock,
    /// The meshes.
    pub mesh: MemoryMesh,
    /// The alarms.
    pub alarms: MemoryAlarms,
    /// The metrics.
    pub metrics: MemoryMetrics,
    /// The Lambda functions.
    pub functions: MemoryFunctions,
    /// AWS Config.
    pub config: MemoryConfigRules,
    /// The state table.
    pub state: MemoryState,
    /// The sent notices.
    pub notifier: MemoryNotifier,
    /// The published events.
    pub bus: MemoryBus,
    /// The stored reports.
    pub reports: MemoryReports,
    /// The imported findings.
    pub security_hub: MemorySecurityHub,
    /// The certificate services.
    #[cfg(feature = "certificates")]
    pub certificates: certificates::CertificatePorts,
}

impl MemoryPorts {
    /// Creates empty ports at the time `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let faults = Faults::default();
        let clock = ManualClock::at(now);
        Self {
            #[cfg(feature = "certificates")]
            certificates: certificates::CertificatePorts::new(&faults, &clock, SEED),
            clock,
            mesh: MemoryMesh::new(faults.clone()),
            alarms: MemoryAlarms::new(faults.clone()),
            metrics: MemoryMetrics::new(faults.clone()),
            functions: MemoryFunctions::new(faults.clone()),
            config: MemoryConfigRules::new(faults.clone()),
            state: MemoryState::new(faults.clone()),
            notifier: MemoryNotifier::new(faults.clone()),
            bus: MemoryBus::new(faults.clone()),
            reports: MemoryReports::new(faults.clone()),
            security_hub: MemorySecurityHub::new(faults.clone()),
            faults,
        }
    }
}
