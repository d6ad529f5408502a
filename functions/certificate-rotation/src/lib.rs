//! Renews certificates in time, and replaces the CAs behind them, with nothing distrusted at any instant.
//!
//! ```text
//! ACM, PCA event ─┐
//! every five min. ┼─▶ observe ─▶ decide (mesh::rotation) ─▶ actuate ─▶ report
//! every day ──────┘   meshes, ACM, PCA,   pure               lease, one    journal, page,
//!                     secrets, proxies,                      step each     bus, answer
//!                     state table
//! ```
//!
//! An event only wakes the function: what is decided rests on what is read afterwards. Where a rotation stands is read
//! off the stores, so it goes on from wherever it was left.
//!
//! This crate never decides anything itself, never writes a spec without the version it was read at, never deletes a
//! certificate, and never lets a private key out of memory but into ACM or Secrets Manager.

mod account;
mod actuate;
mod calls;
mod evidence;
mod facts;
mod handler;
mod journal;
mod metrics;
mod observe;
mod roots;
mod steps;
mod stores;
mod tell;
mod wake;

use std::sync::Arc;

use ports::certificates::{
    CertificateAuthority, CertificateStore, HandshakeProbe, KeyMaker, ProxyEvidence, SecretBundles,
};
use ports::{Clock, EventBus, MeshReader, MeshWriter, Notifier, ReportStore, StateStore};

pub use handler::CertificateRotation;

/// The function's name, in reports and metrics.
pub const NAME: &str = "certificate-rotation";

/// What the function needs of the outside.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// Writes virtual nodes and gateways.
    pub writer: Arc<dyn MeshWriter>,
    /// Keeps the certificates of listeners.
    pub certificates: Arc<dyn CertificateStore>,
    /// Issues certificates.
    pub authorities: Arc<dyn CertificateAuthority>,
    /// Keeps bundles.
    pub bundles: Arc<dyn SecretBundles>,
    /// Makes keys.
    pub keys: Arc<dyn KeyMaker>,
    /// Tells what proxies have taken.
    pub proxies: Arc<dyn ProxyEvidence>,
    /// Looks at listeners whose proxies can't be asked.
    pub probe: Arc<dyn HandshakeProbe>,
    /// The state table.
    pub state: Arc<dyn StateStore>,
    /// Tells people.
    pub notifier: Arc<dyn Notifier>,
    /// Tells other programs.
    pub bus: Arc<dyn EventBus>,
    /// Keeps observations that are too large for the journal.
    pub reports: Arc<dyn ReportStore>,
}
