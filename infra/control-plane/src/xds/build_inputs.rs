//! The inputs of a proxy snapshot, in addition to the mesh.

use xds::Surroundings;

use super::proxy_snapshot::ProxySnapshot;
use crate::instances::{InstanceBook, Instances};
use crate::secrets::Secrets;

/// The inputs of a proxy snapshot, in addition to the mesh.
#[derive(Debug, Clone, Copy)]
pub(super) struct BuildInputs<'a> {
    pub(super) surroundings: Surroundings<'a>,
    pub(super) secrets: &'a dyn Secrets,
    pub(super) book: &'a InstanceBook,
    pub(super) instances: &'a dyn Instances,
    /// The previous snapshot of the proxy.
    pub(super) previous: Option<&'a ProxySnapshot>,
    /// Whether to wait for pending secrets and instances instead of building without them.
    pub(super) patient: bool,
}

/// Secrets or instances are pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotReady;
