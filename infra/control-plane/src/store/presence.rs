//! The presence of this replica in the registry of a shared store, and what it knows of the others.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::shared::{StoreShared, Writers};
use super::start::LogStartError;
use crate::storage::{LogError, Registry, ReplicaRecord, ReplicaState, Sequence};

/// The interval of reports.
const BEAT: Duration = Duration::from_secs(5);

/// A replica with a beat that stood still for this long is silent.
const SILENT: Duration = Duration::from_secs(15);

/// The time-out of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a start watches the beats of other replicas: longer than the interval of reports.
const WATCH: Duration = Duration::from_secs(8);

/// How often a start looks.
const LOOK: Duration = Duration::from_millis(500);

/// A stopped replica is removed from the registry after this time.
const FORGET_STOPPED: Duration = Duration::from_hours(1);

/// A silent replica is removed after this time. It may be serving proxies without the store until an operator ends it.
const FORGET_SILENT: Duration = Duration::from_hours(24);

/// This replica in the registry.
#[derive(Debug)]
pub(super) struct Presence {
    registry: Arc<dyn Registry>,
    own: Mutex<ReplicaRecord>,
    /// The last record of each other replica, and when its beat changed.
    others: Mutex<HashMap<Uuid, (ReplicaRecord, Instant)>>,
}

impl Presence {
    pub(super) fn new(registry: Arc<dyn Registry>, id: Uuid) -> Self {
        let own = ReplicaRecord {
            id,
            state: ReplicaState::Live,
            beat: 0,
            sequence: 0,
            mean_append: None,
            release: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Self { registry, own: Mutex::new(own), others: Mutex::default() }
    }

    fn own(&self) -> MutexGuard<'_, ReplicaRecord> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> MutexGuard<'_, HashMap<Uuid, (ReplicaRecord, Instant)>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another replica may be serving: every one that has not reported its end.
    pub(super) fn has_others(&self) -> bool {
        self.others().values().any(|(record, _)| record.state == ReplicaState::Live)
    }

    /// Fails if another replica is running. A killed replica cannot be distinguished from a running one before its next
    /// report is due, so this may take some seconds.
    pub(super) async fn refuse_others(&self) -> Result<(), LogStartError> {
        self.exchange(0, None).await.map_err(LogStartError::Registry)?;
        let began = Instant::now();
        while self.has_others() && began.elapsed() < WATCH {
            sleep(LOOK).await;
            self.look().await.map_err(LogStartError::Registry)?;
            if let Some(id) = self.running_since(began) {
                self.leave().await;
                return Err(LogStartError::AnotherReplica { id });
            }
        }
        // The others have not reported for longer than they may: they were killed.
        let killed: Vec<Uuid> = self.others().keys().copied().collect();
        for id in killed {
            self.registry.remove(id).await.map_err(LogStartError::Registry)?;
        }
        self.look().await.map_err(LogStartError::Registry)
    }

    /// Another replica that has reported since this time. Of two that start together, one remains.
    fn running_since(&self, began: Instant) -> Option<Uuid> {
        let own = self.own().id;
        let others = self.others();
        let mut running = others.values().filter(|(record, changed)| {
            record.state == ReplicaState::Live && *changed > began && (record.beat > 2 || record.id < own)
        });
        running.next().map(|(record, _)| record.id)
    }

    /// Reports this replica, and reads the other reports.
    async fn exchange(&self, sequence: Sequence, mean_append: Option<Duration>) -> Result<(), LogError> {
        let record = {
            let mut own = self.own();
            own.beat = own.beat.saturating_add(1);
            (own.sequence, own.mean_append) = (sequence, mean_append);
            own.clone()
        };
        self.registry.report(&record).await?;
        self.look().await
    }

    async fn look(&self) -> Result<(), LogError> {
        let (listed, now, own) = (self.registry.list().await?, Instant::now(), self.own().id);
        let mut others = self.others();
        let mut known = HashMap::new();
        for record in listed.into_iter().filter(|record| record.id != own) {
            let changed = match others.remove(&record.id) {
                Some((last, changed)) if last.beat == record.beat => changed,
                // At the first look, a beat counts as unchanged since long ago only if it stays so.
                Some(_) | None => now,
            };
            known.insert(record.id, (record, changed));
        }
        *others = known;
        Ok(())
    }

    /// The replicas that append, this one included.
    fn writers(&self) -> Writers {
        let others = self.others();
        let live = || {
            let live = |(record, changed): &&(ReplicaRecord, Instant)| {
                record.state == ReplicaState::Live && changed.elapsed() < SILENT
            };
            others.values().filter(live).map(|(record, _)| record)
        };
        Writers {
            count: live().count().saturating_add(1),
            slowest: live().filter_map(|record| record.mean_append).max(),
        }
    }

    async fn remove_old(&self) -> Result<(), LogError> {
        let old: Vec<Uuid> = {
            let others = self.others();
            let old = |(_, (record, changed)): &(&Uuid, &(ReplicaRecord, Instant))| match record.state {
                ReplicaState::Stopped => changed.elapsed() > FORGET_STOPPED,
                ReplicaState::Live => changed.elapsed() > FORGET_SILENT,
            };
            others.iter().filter(old).map(|(id, _)| *id).collect()
        };
        for id in old {
            self.registry.remove(id).await?;
        }
        Ok(())
    }

    /// Reports the end of this replica.
    pub(super) async fn leave(&self) {
        let record = {
            let mut own = self.own();
            own.beat = own.beat.saturating_add(1);
            own.state = ReplicaState::Stopped;
            own.clone()
        };
        if !matches!(timeout(REQUEST_TIMEOUT, self.registry.report(&record)).await, Ok(Ok(()))) {
            tracing::warn!("failed to report the end of this replica; the others treat it as silent");
        }
    }
}

/// Reports this replica at intervals, for ever.
pub(super) async fn report(shared: &StoreShared, presence: &Presence) {
    let mut is_failing = false;
    loop {
        let mean = shared.mean_append.load(Ordering::Relaxed);
        let mean = (mean > 0).then(|| Duration::from_micros(mean));
        let sequence = shared.replica().sequence();
        let exchange = async {
            presence.exchange(sequence, mean).await?;
            presence.remove_old().await?;
            presence.registry.check().await
        };
        let late = |_| Err(LogError::unknown("report this replica", "no response in time"));
        match timeout(REQUEST_TIMEOUT, exchange).await.unwrap_or_else(late) {
            Ok(()) => {
                let writers = presence.writers();
                shared.metrics.store().reported(writers.count);
                shared.set_writers(writers);
                is_failing = false;
            }
            Err(LogError::Invalid { what }) => {
                shared.fail(what);
                return;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "failed to report this replica; the others may treat it as silent");
                }
            }
        }
        sleep(BEAT).await;
    }
}
