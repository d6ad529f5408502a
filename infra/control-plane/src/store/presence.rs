//! The presence of this replica in the registry of a shared store, and the last reports of the others.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::own_evidence::OwnEvidence;
use super::shared::{StoreShared, Writers};
use super::start::LogStartError;
use crate::evidence::{self, ReplicaFacts, ReplicaReport};
use crate::storage::{EventCursors, FORMAT, LogError, Registry, ReplicaRecord, ReplicaState, Sequence};

/// The interval of reports.
const BEAT: Duration = Duration::from_secs(5);

/// The pause after a failed report.
const RETRY: Duration = Duration::from_secs(1);

/// A replica with a beat that stood still for this long is silent.
const SILENT: Duration = Duration::from_secs(15);

/// The time-out of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a start watches the beats of other replicas: longer than the interval of reports.
const WATCH: Duration = Duration::from_secs(8);

/// The interval at which a start reads the beats of other replicas.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// A stopped replica is removed from the registry after this time. Its proxies are waited for until then.
const FORGET_STOPPED: Duration = Duration::from_hours(1);

/// A silent replica is removed after this time, in addition to the time for which it may serve proxies without the store.
const FORGET_SILENT: Duration = Duration::from_hours(24);

/// How often the chunks of a replica are read while it stores others.
const CHUNK_READS: u32 = 3;

/// How long a replica serves proxies without the store unless a setting says otherwise.
pub(crate) const SERVE_STALE: Duration = Duration::from_hours(1);

/// The last record of another replica.
#[derive(Debug, Clone)]
struct OtherReplica {
    record: ReplicaRecord,
    /// When its beat changed, as far as this process saw it.
    changed: Instant,
}

impl OtherReplica {
    fn is_live(&self) -> bool {
        self.record.state == ReplicaState::Live
    }
}

/// The facts of another replica, with the generations of their chunks.
type KnownFacts = (Vec<u64>, Arc<ReplicaFacts>);

/// This replica in the registry.
#[derive(Debug)]
pub(super) struct Presence {
    registry: Arc<dyn Registry>,
    own: Mutex<ReplicaRecord>,
    evidence: Mutex<Option<OwnEvidence>>,
    /// Signals that new evidence has to be reported.
    wanted: Notify,
    others: Mutex<HashMap<Uuid, OtherReplica>>,
    facts: Mutex<HashMap<Uuid, KnownFacts>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            serve_stale: SERVE_STALE,
            // Before the first evidence it has no streams.
            chunks: Some(Vec::new()),
            reads: FORMAT,
        };
        Self {
            registry,
            own: Mutex::new(own),
            evidence: Mutex::default(),
            wanted: Notify::new(),
            others: Mutex::default(),
            facts: Mutex::default(),
        }
    }

    /// The id of this replica.
    pub(super) fn id(&self) -> Uuid {
        locked(&self.own).id
    }

    /// The cursors of receivers of change events, which are stored where the registry is.
    pub(super) fn cursors(&self) -> Arc<dyn EventCursors> {
        Arc::<dyn Registry>::clone(&self.registry)
    }

    /// How long this replica serves proxies without the store.
    pub(super) fn serve_stale(&self) -> Duration {
        locked(&self.own).serve_stale
    }

    /// Sets how long this replica serves proxies without the store, before it serves any.
    pub(super) fn set_serve_stale(&self, duration: Duration) {
        locked(&self.own).serve_stale = duration;
    }

    /// Replaces the evidence of this replica. It has applied the log up to the sequence before the evidence was collected.
    pub(super) fn publish(&self, sequence: Sequence, chunks: Vec<Vec<u8>>) {
        locked(&self.evidence).get_or_insert_default().replace(sequence, chunks);
        self.wanted.notify_one();
    }

    /// Registers this replica, before it serves anything.
    pub(super) async fn register(&self) -> Result<(), LogStartError> {
        self.exchange(0, None).await.map_err(LogStartError::Registry)
    }

    /// Fails if another replica is running. A killed replica cannot be distinguished from a running one before its next
    /// report is due, so this may take some seconds.
    pub(super) async fn refuse_others(&self) -> Result<(), LogStartError> {
        let began = Instant::now();
        while locked(&self.others).values().any(OtherReplica::is_live) && began.elapsed() < WATCH {
            sleep(WATCH_INTERVAL).await;
            self.read_others().await.map_err(LogStartError::Registry)?;
            if let Some(id) = self.running_since(began) {
                self.leave().await;
                return Err(LogStartError::AnotherReplica { id });
            }
        }
        // The others have not reported for longer than they may: they were killed.
        let killed: Vec<Uuid> = locked(&self.others).keys().copied().collect();
        for id in killed {
            self.registry.remove(id).await.map_err(LogStartError::Registry)?;
        }
        self.read_others().await.map_err(LogStartError::Registry)
    }

    /// Another replica that has reported since this time. Of two that start together, one remains.
    fn running_since(&self, began: Instant) -> Option<Uuid> {
        let (own, others) = (self.id(), locked(&self.others));
        let mut running = others.values().filter(|other| {
            other.is_live() && other.changed > began && (other.record.beat > 2 || other.record.id < own)
        });
        running.next().map(|other| other.record.id)
    }

    /// Reports this replica, and reads the other reports.
    async fn exchange(&self, sequence: Sequence, mean_append: Option<Duration>) -> Result<(), LogError> {
        self.report_own(sequence, mean_append, ReplicaState::Live).await?;
        self.read_others().await
    }

    /// Reports this replica. The sequence is that of its evidence, if it has any.
    async fn report_own(
        &self,
        sequence: Sequence,
        mean_append: Option<Duration>,
        state: ReplicaState,
    ) -> Result<(), LogError> {
        let (record, changed) = {
            let (mut own, evidence) = (locked(&self.own), locked(&self.evidence));
            own.beat = own.beat.saturating_add(1);
            (own.sequence, own.mean_append, own.state) = (sequence, mean_append, state);
            let mut changed = Vec::new();
            if let Some(evidence) = &*evidence {
                own.sequence = evidence.sequence();
                own.chunks = Some(evidence.generations());
                changed = evidence.unreported();
            }
            (own.clone(), changed)
        };
        self.registry.report(&record, &changed).await?;
        if let Some(evidence) = &mut *locked(&self.evidence) {
            evidence.reported(&changed);
        }
        Ok(())
    }

    async fn read_others(&self) -> Result<(), LogError> {
        let (listed, now, own) = (self.registry.list().await?, Instant::now(), self.id());
        let mut others = locked(&self.others);
        let mut known = HashMap::new();
        for record in listed.into_iter().filter(|record| record.id != own) {
            let changed = match others.remove(&record.id) {
                // A read that began earlier may end later.
                Some(last) if last.record.beat >= record.beat => {
                    known.insert(record.id, last);
                    continue;
                }
                // At the first read, a beat counts as unchanged since long ago only if it stays so.
                Some(_) | None => now,
            };
            known.insert(record.id, OtherReplica { record, changed });
        }
        locked(&self.facts).retain(|id, _| known.contains_key(id));
        *others = known;
        Ok(())
    }

    /// The last reports of all other replicas. The read begins after the call.
    pub(super) async fn reports(&self) -> Result<Vec<ReplicaReport>, LogError> {
        let reports = async {
            for _ in 1..CHUNK_READS {
                self.read_others().await?;
                let reports = self.read_reports().await?;
                if reports.iter().all(|report| report.facts.is_some()) {
                    return Ok(reports);
                }
            }
            self.read_others().await?;
            self.read_reports().await
        };
        let late = |_| Err(LogError::unknown("read the reports of replicas", "no response in time"));
        timeout(REQUEST_TIMEOUT, reports).await.unwrap_or_else(late)
    }

    async fn read_reports(&self) -> Result<Vec<ReplicaReport>, LogError> {
        let others: Vec<OtherReplica> = locked(&self.others).values().cloned().collect();
        let mut reports = Vec::with_capacity(others.len());
        for OtherReplica { record, changed } in others {
            let facts = self.facts_of(&record).await?;
            reports.push(ReplicaReport {
                id: record.id,
                state: record.state,
                sequence: record.sequence,
                unchanged: changed.elapsed(),
                serve_stale: record.serve_stale,
                facts,
            });
        }
        Ok(reports)
    }

    /// The facts of a report. `None` if they cannot be read, or belong to another report.
    async fn facts_of(&self, record: &ReplicaRecord) -> Result<Option<Arc<ReplicaFacts>>, LogError> {
        let Some(generations) = &record.chunks else { return Ok(None) };
        if generations.is_empty() {
            return Ok(Some(Arc::default()));
        }
        let known = locked(&self.facts).get(&record.id).cloned();
        if let Some((_, facts)) = known.filter(|(known, _)| known == generations) {
            return Ok(Some(facts));
        }
        let mut chunks = self.registry.chunks(record.id).await?;
        chunks.truncate(generations.len());
        let is_whole = chunks.iter().map(|chunk| chunk.generation).eq(generations.iter().copied())
            && (0..).zip(&chunks).all(|(number, chunk)| chunk.number == number);
        if !is_whole {
            return Ok(None);
        }
        match evidence::decode(chunks.iter().map(|chunk| chunk.body.as_slice())) {
            Ok(facts) => {
                let facts = Arc::new(facts);
                locked(&self.facts).insert(record.id, (generations.clone(), Arc::clone(&facts)));
                Ok(Some(facts))
            }
            Err(reason) => {
                tracing::warn!(replica = %record.id, reason, "failed to decode evidence of replica; its proxies are unknown");
                Ok(None)
            }
        }
    }

    /// The replicas that append, this one included.
    fn writers(&self) -> Writers {
        let others = locked(&self.others);
        let live = || others.values().filter(|other| other.is_live() && other.changed.elapsed() < SILENT);
        Writers {
            count: live().count().saturating_add(1),
            slowest: live().filter_map(|other| other.record.mean_append).max(),
        }
    }

    async fn remove_old(&self) -> Result<(), LogError> {
        let old: Vec<Uuid> = {
            let others = locked(&self.others);
            let is_old = |other: &&OtherReplica| match other.record.state {
                ReplicaState::Stopped => other.changed.elapsed() > FORGET_STOPPED,
                ReplicaState::Live => other.changed.elapsed() > FORGET_SILENT + other.record.serve_stale,
            };
            others.values().filter(is_old).map(|other| other.record.id).collect()
        };
        for id in old {
            self.registry.remove(id).await?;
        }
        Ok(())
    }

    /// Reports the end of this replica.
    pub(super) async fn leave(&self) {
        let sequence = locked(&self.own).sequence;
        let report = self.report_own(sequence, None, ReplicaState::Stopped);
        if !matches!(timeout(REQUEST_TIMEOUT, report).await, Ok(Ok(()))) {
            tracing::warn!("failed to report the end of this replica; the others treat it as silent");
        }
    }
}

/// Reports this replica at intervals and after changes of its evidence, for ever.
pub(super) async fn report(shared: &StoreShared, presence: &Presence) {
    let mut is_failing = false;
    loop {
        let began = Instant::now();
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
                shared.reported(began);
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
        if is_failing {
            sleep(RETRY).await;
        } else {
            let _ = timeout(BEAT, presence.wanted.notified()).await;
        }
    }
}
