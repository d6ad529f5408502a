//! The streams that are open.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;
use xds::ads::{FormerClusters, Status};
use xds::{Proxy, ProxyId, Version};

use super::gone::Gone;
use super::peer::Peer;
use super::picture::Picture;
use crate::metrics::{ProxyKind, XdsMetrics};
use crate::secrets::ServedCertificate;
use crate::store::Store;

/// What a stream said of itself at its beginning.
#[derive(Debug, Clone)]
pub(super) struct Introduction {
    pub(super) id: ProxyId,
    pub(super) peer: Peer,
    pub(super) since: Timestamp,
    /// `sotw` or `delta`.
    pub(super) protocol: &'static str,
    /// The `cluster` of its node.
    pub(super) cluster: String,
    /// The client's name and version: `envoy 1.40.0`.
    pub(super) user_agent: String,
}

/// Where to ask what a stream has acknowledged.
pub(super) trait Acknowledged: fmt::Debug + Send + Sync {
    fn status(&self) -> Status;
    /// Whether all that was asked for of what it is to have is acknowledged.
    fn has(&self, picture: &Picture) -> bool;
    /// The clusters that the client may have, should the stream break now.
    fn clusters(&self) -> Vec<FormerClusters>;
    /// The certificates in a version of a secret that was sent.
    fn certificates(&self, secret: &str, version: &Version) -> Option<Vec<ServedCertificate>>;
}

/// An open stream.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) who: Arc<Introduction>,
    pub(super) acknowledged: Arc<dyn Acknowledged>,
}

/// All open streams.
#[derive(Debug)]
pub(super) struct Roster {
    streams: Mutex<BTreeMap<(ProxyId, u64), Entry>>,
    gone: Gone,
    next: AtomicU64,
    store: Arc<Store>,
}

/// A stream's place in the roster, given up when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    roster: Arc<Roster>,
    key: (ProxyId, u64),
}

impl Drop for Seat {
    fn drop(&mut self) {
        let streams = || self.roster.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = streams().get(&self.key).cloned();
        // Before it is gone from there: whoever comes back now finds it in one place or the other.
        if let Some(entry) = entry {
            self.roster.gone.keep(&self.key.0, entry.acknowledged.clusters(), Instant::now());
        }
        streams().remove(&self.key);
        self.roster.metrics().stream_closed(kind(&self.key.0));
    }
}

impl Roster {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { streams: Mutex::default(), gone: Gone::default(), next: AtomicU64::new(0), store }
    }

    /// The clusters that a client of this proxy may have that comes back: from streams that ended, and from those whose
    /// end was not noticed yet.
    pub(super) fn former(&self, id: &ProxyId) -> Vec<FormerClusters> {
        let open = self.entries_of(id).into_iter().flat_map(|entry| entry.acknowledged.clusters());
        let mut former = self.gone.of(id, Instant::now());
        former.extend(open);
        former
    }

    /// Where streams are counted.
    pub(super) fn metrics(&self) -> &XdsMetrics {
        self.store.metrics().xds()
    }

    /// Enters a stream, unless its proxy has `limit` already.
    pub(super) fn enter(self: &Arc<Self>, entry: Entry, limit: usize) -> Option<Seat> {
        let id = entry.who.id.clone();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.range((id.clone(), 0)..=(id.clone(), u64::MAX)).count() >= limit {
            return None;
        }
        self.metrics().stream_opened(kind(&id));
        let key = (id, self.next.fetch_add(1, Ordering::Relaxed));
        streams.insert(key.clone(), entry);
        Some(Seat { roster: Arc::clone(self), key })
    }

    /// The open streams, by proxy.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The open streams of one proxy.
    pub(super) fn entries_of(&self, id: &ProxyId) -> Vec<Entry> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.range((id.clone(), 0)..=(id.clone(), u64::MAX)).map(|(_, entry)| entry.clone()).collect()
    }
}

const fn kind(id: &ProxyId) -> ProxyKind {
    match id.proxy {
        Proxy::Node(_) => ProxyKind::VirtualNode,
        Proxy::Gateway(_) => ProxyKind::VirtualGateway,
    }
}
