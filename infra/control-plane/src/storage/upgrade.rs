//! The format in which replicas write a shared store, and its upgrade.
//!
//! A release reads its own format and the one before, and writes the format of the store. So replicas of two releases share a
//! store, and a downgrade is possible, until an operator upgrades the format of the store: from then on, a replica that does
//! not read it stops.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::format::{self, number};
use super::item_log::ItemLog;
use super::items::ItemPut;
use super::log::LogError;
use super::packed::FORMAT;
use super::registry::{Registry as _, ReplicaRecord, ReplicaState};

/// How long the reports of replicas are watched: longer than their interval.
pub(crate) const WATCH: Duration = Duration::from_secs(8);

/// A replica that prevents an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OldReplica {
    /// The id of the replica.
    pub(crate) id: Uuid,
    /// Its release.
    pub(crate) release: String,
    /// The newest format that it reads.
    pub(crate) reads: u64,
}

/// What an upgrade has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UpgradePlan {
    /// The store has the format of this release.
    Current {
        /// The format.
        format: u64,
    },
    /// The format is raised.
    Raise {
        /// The present format.
        from: u64,
        /// The format of this release.
        to: u64,
        /// Replicas that ended without a report and do not read the new format: they stop if they continue.
        silent: Vec<OldReplica>,
    },
    /// These replicas are running, and do not read the new format.
    Refused(Vec<OldReplica>),
}

/// Decides on an upgrade from what the replicas reported before and after they were watched. A replica is running if its
/// beat has changed, or if it appeared meanwhile.
pub(crate) fn plan(stored: u64, to: u64, before: &[ReplicaRecord], after: &[ReplicaRecord]) -> UpgradePlan {
    if stored >= to {
        return UpgradePlan::Current { format: stored };
    }
    let unready = after.iter().filter(|record| record.state == ReplicaState::Live && record.reads < to);
    let (running, silent): (Vec<&ReplicaRecord>, Vec<&ReplicaRecord>) = unready.partition(|record| {
        let earlier = before.iter().find(|earlier| earlier.id == record.id);
        earlier.is_none_or(|earlier| earlier.beat != record.beat)
    });
    let old =
        |record: &ReplicaRecord| OldReplica { id: record.id, release: record.release.clone(), reads: record.reads };
    if running.is_empty() {
        UpgradePlan::Raise { from: stored, to, silent: silent.into_iter().map(old).collect() }
    } else {
        UpgradePlan::Refused(running.into_iter().map(old).collect())
    }
}

impl ItemLog {
    /// Watches the replicas, and decides on an upgrade to the format of this release.
    pub(crate) async fn plan_upgrade(&self, watch: Duration) -> Result<UpgradePlan, LogError> {
        let before = self.list().await?;
        if before.iter().any(|record| record.state == ReplicaState::Live && record.reads < FORMAT) {
            sleep(watch).await;
        }
        let stored = number(&self.store_item().await?, "format").map_err(LogError::invalid)?;
        Ok(plan(stored, FORMAT, &before, &self.list().await?))
    }

    /// Raises the format of the store. The replicas write it from their next report on.
    pub(crate) async fn raise_format(&self, to: u64) -> Result<(), LogError> {
        let mut stored = self.store_item().await?;
        format::put_number(&mut stored, "format", to);
        match self.items.put_greater(&stored, "format").await? {
            ItemPut::Stored => Ok(()),
            ItemPut::Refused(other) if number(&other, "format").is_ok_and(|format| format >= to) => Ok(()),
            ItemPut::Refused(_) => Err(LogError::refused("raise the format", "the store was replaced meanwhile")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u128, state: ReplicaState, beat: u64, reads: u64) -> ReplicaRecord {
        ReplicaRecord {
            id: Uuid::from_u128(id),
            state,
            beat,
            sequence: 0,
            mean_append: None,
            release: "0.1.0".to_owned(),
            serve_stale: Duration::ZERO,
            chunks: None,
            reads,
        }
    }

    fn old(id: u128) -> OldReplica {
        OldReplica { id: Uuid::from_u128(id), release: "0.1.0".to_owned(), reads: 1 }
    }

    #[test]
    fn upgrade_is_refused_while_a_replica_that_does_not_read_the_format_is_running() {
        use ReplicaState::{Live, Stopped};
        let raise = |silent| UpgradePlan::Raise { from: 1, to: 2, silent };
        let (ready, behind) = (record(1, Live, 5, 2), record(2, Live, 5, 1));
        let beats = |beat| ReplicaRecord { beat, ..behind.clone() };
        for (name, stored, before, after, expected) in [
            ("current", 2, vec![behind.clone()], vec![beats(6)], UpgradePlan::Current { format: 2 }),
            ("newer", 3, vec![], vec![], UpgradePlan::Current { format: 3 }),
            ("no replica", 1, vec![], vec![], raise(vec![])),
            ("ready", 1, vec![ready.clone()], vec![ready.clone()], raise(vec![])),
            ("running", 1, vec![behind.clone()], vec![beats(6)], UpgradePlan::Refused(vec![old(2)])),
            ("started meanwhile", 1, vec![], vec![behind.clone()], UpgradePlan::Refused(vec![old(2)])),
            (
                "one of two",
                1,
                vec![ready.clone(), behind.clone()],
                vec![ready, beats(6)],
                UpgradePlan::Refused(vec![old(2)]),
            ),
            ("silent", 1, vec![behind.clone()], vec![behind], raise(vec![old(2)])),
            ("stopped", 1, vec![], vec![record(3, Stopped, 9, 1)], raise(vec![])),
        ] {
            assert_eq!(plan(stored, 2, &before, &after), expected, "{name}");
        }
    }
}
