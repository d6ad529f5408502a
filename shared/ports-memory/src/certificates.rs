//! In-memory authorities and certificate stores: they issue real X.509 certificates, with the same checks as AWS.
//!
//! ```text
//! test ─▶ MemoryAuthorities: root, subordinate ──▶ sign requests, with the validity that the clock says
//!            ▲                                        ▲ issue (the port)       ▲ request, renew
//!            └── status, delay, failure               └── rotation             └── MemoryCertificates, as ACM does
//! ```
//!
//! Identifiers, serial numbers and times follow from a seed and the clock; keys and signatures are random, since the
//! cryptography here takes no seed. Authorities sign with ring; RSA keys come from another crate and take a moment
//! each, so tests of logic do better with P-256.

mod acm;
mod acm_rules;
mod authorities;
mod bundles;
mod entry;
mod numbers;
mod probe;
mod proxies;
mod signer;

use jiff::Timestamp;

pub use acm::MemoryCertificates;
pub use authorities::{MemoryAuthorities, PCA_TOKEN_LASTS};
pub use bundles::MemoryBundles;
pub use probe::MemoryProbe;
pub use proxies::MemoryProxies;

use ports::certificates::SystemKeys;

use super::{Faults, ManualClock};

/// One of each, sharing faults and clock. Clones share everything.
#[derive(Clone, Debug)]
pub struct CertificatePorts {
    /// The private CAs.
    pub authorities: MemoryAuthorities,
    /// The store of certificates that listeners name by ARN.
    pub certificates: MemoryCertificates,
    /// The secrets that local SDS sockets serve.
    pub bundles: MemoryBundles,
    /// The acknowledged secrets of proxies.
    pub proxies: MemoryProxies,
    /// The certificates that servers present.
    pub probe: MemoryProbe,
    /// Fresh keys.
    pub keys: SystemKeys,
}

impl CertificatePorts {
    /// Empty ports.
    #[must_use]
    pub fn new(faults: &Faults, clock: &ManualClock, seed: u64) -> Self {
        let authorities = MemoryAuthorities::new(faults.clone(), clock.clone(), seed);
        Self {
            certificates: MemoryCertificates::new(faults.clone(), clock.clone(), authorities.clone(), seed),
            bundles: MemoryBundles::new(faults.clone()),
            proxies: MemoryProxies::new(faults.clone()),
            probe: MemoryProbe::new(faults.clone()),
            keys: SystemKeys,
            authorities,
        }
    }
}

/// A validity period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The beginning.
    pub from: Timestamp,
    /// The end.
    pub until: Timestamp,
}
