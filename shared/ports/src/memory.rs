//! In-memory versions of the ports, for tests of logic: true to the conditions that the real ones keep, and able to fail
//! at every call in every way that the real ones can.
//!
//! ```text
//! test ──▶ Faults: at call 7, lose the answer        every call of every port
//!             └────────────────────────────────▶ ─────────▶ passes through here ─▶ state
//! ```
//!
//! A test first runs undisturbed and takes [`Faults::calls`]; then it runs again for each of them, with each
//! [`Fault::every`] at that call.

mod alarms;
mod cell;
#[cfg(feature = "memory-certificates")]
pub mod certificates;
mod clock;
mod config_rules;
mod faults;
mod instances;
mod mesh;
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
pub use instances::MemoryInstances;
pub use records::{MemoryBus, MemoryNotifier, MemoryPolicy, MemoryReports};
pub use security_hub::MemorySecurityHub;
pub use state::MemoryState;

/// What the certificates' identifiers of one run follow from.
#[cfg(feature = "memory-certificates")]
const SEED: u64 = 1;

/// One of each, sharing their faults. Clones share everything.
#[derive(Clone, Debug)]
pub struct MemoryPorts {
    /// What goes wrong.
    pub faults: Faults,
    /// The time.
    pub clock: ManualClock,
    /// The meshes.
    pub mesh: MemoryMesh,
    /// The alarms.
    pub alarms: MemoryAlarms,
    /// AWS Config.
    pub config: MemoryConfigRules,
    /// The state table.
    pub state: MemoryState,
    /// The notices sent.
    pub notifier: MemoryNotifier,
    /// The events put.
    pub bus: MemoryBus,
    /// The reports kept.
    pub reports: MemoryReports,
    /// The findings imported.
    pub security_hub: MemorySecurityHub,
    /// Who issues and keeps certificates.
    #[cfg(feature = "memory-certificates")]
    pub certificates: certificates::CertificatePorts,
}

impl MemoryPorts {
    /// Empty ports at the time `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let faults = Faults::default();
        let clock = ManualClock::at(now);
        Self {
            #[cfg(feature = "memory-certificates")]
            certificates: certificates::CertificatePorts::new(&faults, &clock, SEED),
            clock,
            mesh: MemoryMesh::new(faults.clone()),
            alarms: MemoryAlarms::new(faults.clone()),
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
