//! Proxy snapshots of the connected proxies, kept current.
//!
//! One task owns the [`MeshModels`]. It runs at a change, for a new proxy, or for a query; it applies all pending changes
//! together and rebuilds the snapshots that may be affected, outside the threads that serve streams. The first change
//! is applied at once. Changes that arrive during a run or within [`MIN_INTERVAL`] are applied together, so that after a
//! burst each proxy receives only the last state. At intervals the task reports the secrets and instances that
//! connected proxies need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mesh::graph::Mesh;
use mesh::name::MeshName;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use xds::ports::PortUse;
use xds::{Finding, ProxyId};

use super::affected::{self, Affected};
use super::follow::Follower;
use super::models::{AffectedByMesh, MeshModels};
use super::proxy_snapshot::{ProxySnapshot, Served};
use super::sources::SnapshotSources;
use crate::metrics::XdsMetrics;
use crate::store::Store;

/// The shortest interval between two runs. It combines a hundred consecutive writes into a few pushes, and is short
/// against the 50 ms within which an update should move traffic.
const MIN_INTERVAL: Duration = Duration::from_millis(5);

/// The interval between reports of the secrets and instances in use. It is short against the time for which unused
/// ones are kept.
const USE_REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// The pause after ports could not be stored.
const PORT_RETRY: Duration = Duration::from_secs(1);

/// Below this number of snapshots a second thread costs more than it saves.
const SINGLE_THREAD_LIMIT: usize = 16;

/// A request to the task.
#[derive(Debug)]
enum CacheRequest {
    /// Build the snapshot of a newly connected proxy.
    Serve(ProxyId),
    /// Describe a proxy, connected or not.
    Describe(ProxyId, oneshot::Sender<Option<Description>>),
    /// Return the mesh that snapshots are built from.
    Model(MeshName, oneshot::Sender<Option<Mesh>>),
    /// Respond when all earlier writes are in the snapshots.
    Settle(oneshot::Sender<()>),
}

/// The description of a proxy that need not be connected.
#[derive(Debug)]
pub(super) struct Description {
    /// Its explicit ports.
    pub(super) ports: Vec<(PortUse, u16)>,
    /// The problems of its configuration.
    pub(super) findings: Vec<Finding>,
}

/// The sources that have changed.
#[derive(Debug, Clone, Copy, Default)]
struct ChangedSources {
    secrets: bool,
    instances: bool,
}

type Watchers = Arc<Mutex<BTreeMap<ProxyId, watch::Sender<Served>>>>;

/// The cache of proxy snapshots. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct SnapshotCache {
    watchers: Watchers,
    requests: mpsc::UnboundedSender<CacheRequest>,
}

impl SnapshotCache {
    /// Starts the task. It ends at `stop`, or with the last clone of the cache, and holds the store until then.
    pub(super) fn start(
        follower: Follower,
        models: MeshModels,
        sources: SnapshotSources,
        stop: watch::Receiver<bool>,
    ) -> (Self, JoinHandle<()>) {
        let watchers = Watchers::default();
        let (requests, received) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(follower, models, sources, Arc::clone(&watchers), received, stop));
        (Self { watchers, requests }, task)
    }

    /// Follows the snapshot of a proxy. All streams of one proxy share it.
    pub(super) fn serve(&self, id: &ProxyId) -> watch::Receiver<Served> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let served = watchers.entry(id.clone()).or_default().subscribe();
        drop(watchers);
        if matches!(*served.borrow(), Served::Unknown) {
            let _ = self.requests.send(CacheRequest::Serve(id.clone()));
        }
        served
    }

    /// Describes a proxy; `None` if its resource does not exist.
    pub(super) async fn describe(&self, id: ProxyId) -> Option<Description> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(CacheRequest::Describe(id, answer)).ok()?;
        answered.await.ok()?
    }

    /// The mesh that snapshots are built from, including all earlier writes; `None` if it does not exist. It has no
    /// tags, which proxies do not need.
    pub(super) async fn model(&self, mesh: &MeshName) -> Option<Mesh> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(CacheRequest::Model(mesh.clone(), answer)).ok()?;
        answered.await.ok()?
    }

    /// Waits until all earlier writes are in the snapshots.
    pub(super) async fn settle(&self) {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(CacheRequest::Settle(answer)).is_ok() {
            let _ = answered.await;
        }
    }

    /// The current state of a connected proxy.
    pub(super) fn served(&self, id: &ProxyId) -> Option<Served> {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.get(id).map(|watcher| watcher.borrow().clone())
    }
}

async fn run(
    mut follower: Follower,
    mut models: MeshModels,
    sources: SnapshotSources,
    watchers: Watchers,
    mut received: mpsc::UnboundedReceiver<CacheRequest>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut secrets, mut instances) = (sources.secrets.changes(), sources.instances.changes());
    let mut report_use = tokio::time::interval(USE_REPORT_INTERVAL);
    loop {
        let (mut requests, mut changed_sources, mut last) = (Vec::new(), ChangedSources::default(), false);
        tokio::select! {
            // Earlier writes still have to be sent.
            _ = stop.wait_for(|stop| *stop) => last = true,
            () = follower.changed() => {}
            request = received.recv() => match request {
                Some(request) => requests.push(request),
                None => return,
            },
            () = source_changed(&mut secrets) => changed_sources.secrets = true,
            () = source_changed(&mut instances) => changed_sources.instances = true,
            _ = report_use.tick() => {
                let proxy_snapshots = in_use(&watchers);
                sources.secrets.in_use(&proxy_snapshots.iter().flat_map(|proxy_snapshot| proxy_snapshot.secrets.keys().cloned()).collect());
                sources.instances.in_use(&proxy_snapshots.iter().flat_map(|proxy_snapshot| proxy_snapshot.services.clone()).collect());
                continue;
            }
        }
        let began = Instant::now();
        while let Ok(request) = received.try_recv() {
            requests.push(request);
        }
        changed_sources.secrets |= secrets.has_changed().unwrap_or(false);
        changed_sources.instances |= instances.has_changed().unwrap_or(false);
        secrets.mark_unchanged();
        instances.mark_unchanged();
        let update = follower.catch_up();
        let (store, watchers) = (follower.store(), Arc::clone(&watchers));
        let turned = tokio::task::spawn_blocking(move || {
            let mut affected = models.apply_update(update);
            if changed_sources.instances {
                affected::join(&mut affected, models.update_instances());
            }
            let stored = Handle::current().block_on(assign_ports(&store, &mut models, &mut affected));
            process(&models, &store, &affected, changed_sources, requests, &watchers);
            (models, stored)
        });
        models = match turned.await {
            Ok((models, stored)) => {
                if !stored {
                    follower.read_everything_after(PORT_RETRY);
                }
                models
            }
            Err(error) => {
                tracing::error!(%error, "proxy snapshot task failed; restart the control plane to send changes to proxies");
                return;
            }
        };
        if last {
            return;
        }
        sleep_until(began + MIN_INTERVAL).await;
    }
}

/// All snapshots. Removes the entries of proxies without streams.
fn in_use(watchers: &Watchers) -> Vec<Arc<ProxySnapshot>> {
    let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
    watchers.retain(|_, watcher| watcher.receiver_count() > 0);
    watchers.values().filter_map(|watcher| watcher.borrow().proxy_snapshot().cloned()).collect()
}

/// Waits until a source has changed; forever if the source was dropped.
async fn source_changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Stores planned ports before a proxy learns of them, and applies what the log decided. Returns whether that succeeded;
/// otherwise the proxies that need them wait.
async fn assign_ports(store: &Store, models: &mut MeshModels, affected: &mut AffectedByMesh) -> bool {
    let Some(request) = models.take_port_request() else { return true };
    let (decided, is_stored) = match store.assign_ports(&request).await {
        Ok(decided) => (decided, true),
        Err(error) => {
            tracing::error!(%error, "failed to store listener ports; proxies that need them wait");
            let stored = store.inspect(|state| state.ports().clone());
            let present = request.edits.keys().map(|key| (key.clone(), stored.get(key).copied()));
            (present.collect(), false)
        }
    };
    affected::join(affected, models.adopt_ports(&decided));
    is_stored
}

fn process(
    models: &MeshModels,
    store: &Store,
    affected: &AffectedByMesh,
    changed_sources: ChangedSources,
    requests: Vec<CacheRequest>,
    watchers: &Watchers,
) {
    let (mut new, mut queries) = (BTreeSet::new(), Vec::new());
    for request in requests {
        match request {
            CacheRequest::Serve(id) => {
                new.insert(id);
            }
            CacheRequest::Describe(..) | CacheRequest::Model(..) | CacheRequest::Settle(_) => queries.push(request),
        }
    }
    let due: Vec<_> = {
        let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|_, watcher| watcher.receiver_count() > 0);
        let is_due = |id: &ProxyId, watcher: &watch::Sender<Served>| {
            // A proxy that connected after the changes were read waits for the next run: its resource may be newer
            // than the changes.
            if matches!(*watcher.borrow(), Served::Unknown) {
                return new.contains(id);
            }
            affected.get(&id.mesh).is_some_and(|affected: &Affected| affected.contains(&id.proxy))
                || changed_sources.affects(&watcher.borrow())
        };
        let due = watchers.iter().filter(|(id, watcher)| is_due(id, watcher));
        due.map(|(id, watcher)| (id.clone(), watcher.clone())).collect()
    };
    publish(models, store.metrics().xds(), &due);
    for query in queries {
        match query {
            CacheRequest::Describe(id, answer) => {
                let watcher = watchers.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
                let previous = watcher.and_then(|watcher| watcher.borrow().proxy_snapshot().cloned());
                let _ = answer.send(describe(models, &id, previous.as_deref()));
            }
            CacheRequest::Model(mesh, answer) => {
                let _ = answer.send(models.model(&mesh).cloned());
            }
            CacheRequest::Settle(answer) => {
                let _ = answer.send(());
            }
            CacheRequest::Serve(_) => {}
        }
    }
}

impl ChangedSources {
    fn affects(self, served: &Served) -> bool {
        match served {
            Served::Waiting => self.secrets || self.instances,
            // Changed instances affect the callers of their nodes, which the model determines.
            Served::Ready(proxy_snapshot) => self.secrets && !proxy_snapshot.secrets.is_empty(),
            Served::Unknown | Served::Missing(_) => false,
        }
    }
}

fn publish(models: &MeshModels, metrics: &XdsMetrics, due: &[(ProxyId, watch::Sender<Served>)]) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = if due.len() < SINGLE_THREAD_LIMIT { due.len() } else { due.len().div_ceil(threads) };
    thread::scope(|scope| {
        let mut shares = due.chunks(share.max(1));
        let own = shares.next().unwrap_or_default();
        for others in shares {
            scope.spawn(move || {
                for (id, watcher) in others {
                    rebuild(models, metrics, id, watcher);
                }
            });
        }
        for (id, watcher) in own {
            rebuild(models, metrics, id, watcher);
        }
    });
}

fn rebuild(models: &MeshModels, metrics: &XdsMetrics, id: &ProxyId, watcher: &watch::Sender<Served>) {
    let began = Instant::now();
    let previous = watcher.borrow().proxy_snapshot().cloned();
    let Some(served) = models.served(id, previous.as_deref()) else {
        return;
    };
    metrics.snapshot_built(began.elapsed());
    watcher.send_if_modified(|current| {
        let same = match (&*current, &served) {
            (Served::Ready(current), Served::Ready(served)) => current == served,
            (Served::Missing(_), Served::Missing(_)) | (Served::Waiting, Served::Waiting) => true,
            (Served::Unknown | Served::Waiting | Served::Missing(_) | Served::Ready(_), _) => false,
        };
        if !same {
            *current = served;
        }
        !same
    });
}

fn describe(models: &MeshModels, id: &ProxyId, previous: Option<&ProxySnapshot>) -> Option<Description> {
    let served = models.described(id, previous)?;
    let findings = served.proxy_snapshot()?.findings.clone();
    let ports = models
        .ports()
        .map(|ports| ports.assignments_of(&id.mesh, &id.proxy).map(|(to, port)| (to.clone(), port)).collect());
    Some(Description { ports: ports.unwrap_or_default(), findings })
}
