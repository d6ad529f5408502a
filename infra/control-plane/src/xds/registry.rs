//! The open streams.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;
use xds::ads::{PreviousResources, Status};
use xds::{Proxy, ProxyId, Version};

use super::ended_streams::EndedStreams;
use super::peer::XdsPeer;
use super::proxy_snapshot::ProxySnapshot;
use crate::evidence::{LeftInstance, LeftInstances};
use crate::metrics::{ProxyKind, XdsMetrics};
use crate::secrets::ServedCertificate;
use crate::store::Store;

/// The facts about a stream from its first request.
#[derive(Debug, Clone)]
pub(super) struct StreamInfo {
    pub(super) id: ProxyId,
    pub(super) peer: XdsPeer,
    pub(super) since: Timestamp,
    /// What distinguishes the Envoy from others of its resource; empty if it reports nothing.
    pub(super) instance: String,
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
    fn resources_for_next_stream(&self) -> Vec<PreviousResources>;
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
    /// The instances that disconnected, for the other replicas of a shared store.
    left: LeftInstances,
    next: AtomicU64,
    /// Increased by every change of what the streams have acknowledged.
    revision: AtomicU64,
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
            self.registry.ended.keep(&self.key.0, entry.acknowledged.resources_for_next_stream(), Instant::now());
            if self.registry.store.is_shared() {
                let (id, instance) = (entry.who.id.to_string(), entry.who.instance.clone());
                let left =
                    LeftInstance { id, instance, first: entry.who.since, since: entry.who.since, at: Timestamp::now() };
                // Before the removal, so that a report never lacks both.
                self.registry.left.add(left, Instant::now());
            }
        }
        streams().remove(&self.key);
        self.registry.touch();
        self.registry.metrics().stream_closed(kind(&self.key.0));
    }
}

impl StreamRegistry {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self {
            streams: Mutex::default(),
            ended: EndedStreams::default(),
            left: LeftInstances::default(),
            next: AtomicU64::new(0),
            revision: AtomicU64::new(0),
            store,
        }
    }

    /// The resources that a reconnecting client of this proxy may have: those of ended streams, and of streams with an
    /// end that was not noticed yet.
    pub(super) fn previous_resources(&self, id: &ProxyId) -> Vec<PreviousResources> {
        let open = self.entries_of(id).into_iter().flat_map(|entry| entry.acknowledged.resources_for_next_stream());
        let mut previous = self.ended.resources_of(id, Instant::now());
        previous.extend(open);
        previous
    }

    /// Notes that a stream has sent, acknowledged or refused something.
    pub(super) fn touch(&self) {
        self.revision.fetch_add(1, Ordering::Relaxed);
    }

    /// Differs after every change of the streams.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// The instances that disconnected a short time ago.
    pub(super) fn left(&self) -> Vec<LeftInstance> {
        self.left.list(Instant::now())
    }

    /// The store, whose freshness decides about the content of streams.
    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
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
        self.touch();
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
