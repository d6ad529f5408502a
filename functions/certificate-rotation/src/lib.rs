//! Renews certificates in time and replaces the CAs behind them. At no instant does a peer distrust a certificate in
//! use.
//!
//! ```text
//! ACM, PCA event ─┐
//! every five min. ┼─▶ observe ─▶ decide (decisions::rotation) ─▶ actuate ─▶ report
//! every day ──────┘   meshes, ACM, PCA,   pure               lease, one    journal, page,
//!                     secrets, proxies,                      step each     bus, answer
//!                     state table
//! ```
//!
//! An event only triggers the function: each decision uses the data that is read afterwards. The state of a rotation is
//! read from the certificate stores, so the rotation resumes wherever it was left.
//!
//! This crate decides nothing itself, never writes a spec without the version that was read, and never
//! deletes a certificate. It moves a private key out of memory only into ACM or Secrets Manager.

mod calls;
mod evidence;
mod facts;
mod function;
mod lines;
mod metrics;
mod news;
mod observe;
mod roots;
mod rotations;
mod steps;
mod stores;
mod trigger;

use std::sync::Arc;

use policy::{Policy, PolicyError};
use ports::certificates::{
    CertificateAuthority, CertificateStore, HandshakeProbe, KeyMaker, ProxyEvidence, SecretBundles,
};
use ports::{Clock, EventBus, MeshReader, MeshWriter, Notifier, ReportStore, StateStore};
use runner::{EnginePorts, PolicyKeeper, Runner};

pub use function::CertificateRotation;
pub use trigger::Trigger;

/// The function's name, in reports and metrics.
pub const NAME: &str = "certificate-rotation";

/// The services that the function needs.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Reads the current time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// Writes virtual nodes and gateways.
    pub writer: Arc<dyn MeshWriter>,
    /// Stores the certificates of listeners.
    pub certificates: Arc<dyn CertificateStore>,
    /// Issues certificates.
    pub authorities: Arc<dyn CertificateAuthority>,
    /// Stores bundles.
    pub bundles: Arc<dyn SecretBundles>,
    /// Creates keys.
    pub keys: Arc<dyn KeyMaker>,
    /// Reports which certificates proxies have acknowledged.
    pub proxies: Arc<dyn ProxyEvidence>,
    /// Probes listeners of proxies that report no certificates.
    pub probe: Arc<dyn HandshakeProbe>,
    /// Reads and writes the state table.
    pub state: Arc<dyn StateStore>,
    /// Sends notifications to operators.
    pub notifier: Arc<dyn Notifier>,
    /// Sends events to other programs.
    pub bus: Arc<dyn EventBus>,
    /// Stores observations that are too large for the journal.
    pub reports: Arc<dyn ReportStore>,
}

/// Creates the function from its ports and its policy.
#[must_use]
pub fn function(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Runner<CertificateRotation> {
    let engine = EnginePorts {
        clock: Arc::clone(&ports.clock),
        state: Arc::clone(&ports.state),
        notifier: Arc::clone(&ports.notifier),
        bus: Arc::clone(&ports.bus),
        reports: Arc::clone(&ports.reports),
    };
    Runner::new(CertificateRotation { ports }, engine, policy)
}
