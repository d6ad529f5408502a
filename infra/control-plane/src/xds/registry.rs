//! The open streams.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;
use xds::ads::{FormerResources, Status};
use xds::{Proxy, ProxyId, Version};

use super::ended_streams::EndedStreams;
use super::peer::XdsPeer;
use super::proxy_snapshot::ProxySnapshot;
use crate::metrics::{ProxyKind, XdsMetrics};
use crate::secrets::ServedCertificate;
use crate::store::Store;

/// The facts about a stream from its first request.
#[derive(Debug, Clone)]
pub(super) struct StreamInfo {
    pub(super) id: ProxyId,
    pub(super) peer: XdsPeer,
    pub(super) since: Timestamp,
    /// `sotw` or `delta`.
    pub(super) protocol: &'static str,
    /// The `cluster` of its node.
    pub(super) cluster: String,
    /// The client's name and version: `envoy 1.40.0`.
    pub(super) user_agent: String,
}

/// The acknowledged configuration of a stream.
pub(super) trait AcknowledgedState: fmt::Debug + Send + Sync {
    fn status(&self) -> Status;
    /// Whether everything that the client subscribed to is acknowledged.
    fn has(&self, proxy_snapshot: &ProxySnapshot) -> bool;
    /// The resources that the client may have if the stream breaks now, and that its next stream has to know.
    fn former(&self) -> Vec<FormerResources>;
    /// The certificates in a version of a secret that was sent.
    fn certificates(&self, secret: &str, version: &Version) -> Option<Vec<ServedCertificate>>;
}

/// An open stream.
#[derive(Debug, Clone)]
pub(super) struct RegisteredStream {
    pub(super) who: Arc<StreamInfo>,
    pub(super) acknowledged: Arc<dyn AcknowledgedState>,
}

/// All open streams.
#[derive(Debug)]
pub(super) struct StreamRegistry {
    streams: Mutex<BTreeMap<(ProxyId, u64), RegisteredStream>>,
    ended: EndedStreams,
    next: AtomicU64,
    store: Arc<Store>,
}

/// The registration of a stream, removed when dropped.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<StreamRegistry>,
    key: (ProxyId, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        let streams = || self.registry.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = streams().get(&self.key).cloned();
        // Remember the resources before the removal, so that a reconnecting client finds them in one place or the
        // other.
        if let Some(entry) = entry {
            self.registry.ended.keep(&self.key.0, entry.acknowledged.former(), Instant::now());
        }
        streams().remove(&self.key);
        self.registry.metrics().stream_closed(kind(&self.key.0));
    }
}

impl StreamRegistry {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { streams: Mutex::default(), ended: EndedStreams::default(), next: AtomicU64::new(0), store }
    }

    /// The resources that a reconnecting client of this proxy may have: those of ended streams, and of streams whose
    /// end was not noticed yet.
    pub(super) fn previous_resources(&self, id: &ProxyId) -> Vec<FormerResources> {
        let open = self.entries_of(id).into_iter().flat_map(|entry| entry.acknowledged.former());
        let mut previous = self.ended.resources_of(id, Instant::now());
        previous.extend(open);
        previous
    }

    /// The metrics of streams.
    pub(super) fn metrics(&self) -> &XdsMetrics {
        self.store.metrics().xds()
    }

    /// Registers a stream, unless its proxy has `limit` streams already.
    pub(super) fn enter(self: &Arc<Self>, entry: RegisteredStream, limit: usize) -> Option<Registration> {
        let id = entry.who.id.clone();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.range((id.clone(), 0)..=(id.clone(), u64::MAX)).count() >= limit {
            return None;
        }
        self.metrics().stream_opened(kind(&id));
        let key = (id, self.next.fetch_add(1, Ordering::Relaxed));
        streams.insert(key.clone(), entry);
        Some(Registration { registry: Arc::clone(self), key })
    }

    /// The open streams by proxy.
    pub(super) fn entries(&self) -> Vec<RegisteredStream> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The open streams of one proxy.
    pub(super) fn entries_of(&self, id: &ProxyId) -> Vec<RegisteredStream> {
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
