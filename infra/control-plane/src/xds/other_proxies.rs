//! The snapshots of proxies that other replicas serve. They are built only while reports on them are requested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use xds::ProxyId;

use super::cache::SnapshotCache;
use super::proxy_snapshot::Served;

/// How long snapshots are kept up to date after the last request for a report. Functions poll every few minutes.
const RETENTION: Duration = Duration::from_mins(15);

type Watched = BTreeMap<ProxyId, watch::Receiver<Served>>;

/// The followed snapshots.
#[derive(Debug, Default)]
pub(super) struct OtherProxies(Mutex<(Option<Instant>, Watched)>);

impl OtherProxies {
    fn watched(&self) -> MutexGuard<'_, (Option<Instant>, Watched)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshots of these proxies, as far as they are built until the deadline.
    pub(super) async fn snapshots(
        &self,
        ids: BTreeSet<ProxyId>,
        cache: &SnapshotCache,
        deadline: Instant,
    ) -> BTreeMap<ProxyId, Served> {
        let receivers = {
            let (used, watched) = &mut *self.watched();
            *used = Some(Instant::now());
            let mut previous = std::mem::take(watched);
            let follow = |id: ProxyId| {
                let receiver = previous.remove(&id).unwrap_or_else(|| cache.serve(&id));
                (id, receiver)
            };
            *watched = ids.into_iter().map(follow).collect();
            watched.clone()
        };
        let mut served = BTreeMap::new();
        for (id, mut receiver) in receivers {
            let is_built = |served: &Served| !matches!(served, Served::Unknown | Served::Waiting);
            let _ = timeout_at(deadline, receiver.wait_for(is_built)).await;
            let current = receiver.borrow().clone();
            served.insert(id, current);
        }
        served
    }

    /// Stops following snapshots that no report has needed for some time.
    pub(super) fn remove_unused(&self) {
        let (used, watched) = &mut *self.watched();
        if used.is_none_or(|used| used.elapsed() > RETENTION) {
            watched.clear();
        }
    }
}
