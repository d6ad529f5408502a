//! The upgrade of the format of a shared store, after a snapshot of it.

use std::fmt;
use std::path::Path;

use super::content::StoreSnapshot;
use super::error::SnapshotError;
use super::shared;
use crate::settings::SharedStore;
use crate::storage::{OldReplica, UpgradePlan, WATCH};

/// The upgrade of a shared store that no running replica prevents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUpgrade {
    store: String,
    plan: UpgradePlan,
}

impl StoreUpgrade {
    /// Watches the replicas of a store, and decides on its upgrade to the format of this release. Fails if a replica is
    /// running that does not read it.
    pub async fn plan(store: &SharedStore) -> Result<Self, SnapshotError> {
        let stored = shared::open(store).await?;
        let name = stored.name();
        let Some((log, _)) = stored.into_log() else { return Err(SnapshotError::Missing { store: name }) };
        match log.plan_upgrade(WATCH).await.map_err(SnapshotError::log(&name))? {
            UpgradePlan::Refused(running) => {
                let replicas = running.iter().map(described).collect::<Vec<_>>().join(", ");
                Err(SnapshotError::OldReplicas { store: name, replicas })
            }
            plan @ (UpgradePlan::Current { .. } | UpgradePlan::Raise { .. }) => Ok(Self { store: name, plan }),
        }
    }

    /// Whether the store has an earlier format.
    #[must_use]
    pub const fn is_needed(&self) -> bool {
        match self.plan {
            UpgradePlan::Raise { .. } => true,
            UpgradePlan::Current { .. } | UpgradePlan::Refused(_) => false,
        }
    }

    /// Writes a snapshot of the store to a file, and raises its format. Returns the snapshot.
    pub async fn execute(&self, store: &SharedStore, file: &Path) -> Result<StoreSnapshot, SnapshotError> {
        let snapshot = shared::take(store).await?;
        snapshot.write_file(file)?;
        if let UpgradePlan::Raise { to, .. } = self.plan {
            let Some((log, _)) = shared::open(store).await?.into_log() else {
                return Err(SnapshotError::Missing { store: self.store.clone() });
            };
            log.raise_format(to).await.map_err(SnapshotError::log(&self.store))?;
        }
        Ok(snapshot)
    }
}

fn described(replica: &OldReplica) -> String {
    format!("{} of release {}, which reads format {}", replica.id, replica.release, replica.reads)
}

impl fmt::Display for StoreUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.plan {
            UpgradePlan::Current { format } => {
                write!(f, "{} has format {format}, the newest of this release", self.store)
            }
            UpgradePlan::Refused(_) => write!(f, "{} cannot be upgraded", self.store),
            UpgradePlan::Raise { from, to, silent } => {
                write!(f, "upgrade {} from format {from} to {to}", self.store)?;
                for replica in silent {
                    write!(f, "\nreplica {} ended without a report; it stops if it continues", described(replica))?;
                }
                Ok(())
            }
        }
    }
}
