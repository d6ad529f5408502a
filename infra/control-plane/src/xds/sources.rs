//! The sources of secrets and instances.

use std::sync::Arc;

use crate::instances::{Instances, NoInstances};
use crate::secrets::{NoSecrets, Secrets};

/// The sources of secrets and instances.
#[derive(Debug, Clone)]
pub(super) struct SnapshotSources {
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) instances: Arc<dyn Instances>,
}

impl Default for SnapshotSources {
    fn default() -> Self {
        Self { secrets: Arc::new(NoSecrets::default()), instances: Arc::new(NoInstances::default()) }
    }
}
