//! The table of open connections.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use super::metrics::ConnectionMetrics;
use super::{Client, Closed, ConnectionLimits, Service};
use crate::log::LogThrottle;

/// The interval between checks of the deadlines.
const SWEEP: Duration = Duration::from_millis(500);

/// The timeout of requests in progress from an unknown caller: the body, and the request to STS. Both have separate,
/// shorter deadlines.
const UNKNOWN_CALLER: Duration = Duration::from_secs(30);

/// All connections of one process.
#[derive(Debug)]
pub(crate) struct ConnectionTable {
    limits: ConnectionLimits,
    metrics: ConnectionMetrics,
    connections: Mutex<ConnectionSet>,
    /// One for each reason, so that frequent reasons do not suppress others.
    closes: [LogThrottle; Closed::ALL.len() + 1],
}

#[derive(Debug, Default)]
struct ConnectionSet {
    next: u64,
    open: HashMap<u64, TrackedConnection>,
    /// The idle connections of each client, in the order in which they are closed.
    idle: BTreeMap<(Service, Client), BTreeSet<Rank>>,
    /// The clients with idle connections, by the number of these.
    by_idle_count: BTreeSet<(Service, usize, Client)>,
    idle_count: [usize; Service::ALL.len()],
    open_count: [usize; Service::ALL.len()],
}

/// The order in which idle connections are closed: by stage, then by age.
type Rank = (ConnectionStage, u64, u64);

#[derive(Debug)]
struct TrackedConnection {
    service: Service,
    client: Client,
    stage: ConnectionStage,
    since: Instant,
    /// Its rank among the idle connections; `None` while it is busy.
    rank: Option<Rank>,
    /// Requests in progress from unknown callers.
    unauthenticated: usize,
    /// Authenticated requests and streams of known proxies in progress.
    busy: usize,
    shared: Arc<ConnectionState>,
}

/// The stages of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectionStage {
    /// The TLS handshake is in progress.
    Handshake,
    /// No request has arrived.
    NoRequest,
    /// A request of an unknown caller has arrived.
    Unauthenticated,
    /// A request was authenticated.
    Authenticated,
}

/// The state that the table shares with the connection's reads and writes.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    closed: AtomicU8,
    known: AtomicBool,
    pub(super) reading: AtomicWaker,
    pub(super) writing: AtomicWaker,
    /// Whether a write waits for the client to read. The table measures the time.
    pub(super) stalled: AtomicBool,
    stalled_since: Mutex<Option<Instant>>,
}

impl ConnectionState {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) != 0
    }

    fn close(&self, why: Closed) -> bool {
        let first = self.closed.compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.reading.wake();
        self.writing.wake();
        first
    }

    /// Whether a write has waited for longer than allowed.
    fn is_stalled(&self, now: Instant, longest: Duration) -> bool {
        let mut since = self.stalled_since.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stalled.load(Ordering::Relaxed) {
            *since = None;
            return false;
        }
        now.duration_since(*since.get_or_insert(now)) > longest
    }
}

/// A connection's slot in the table, released when the last copy is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<SlotEntry>);

#[derive(Debug)]
struct SlotEntry {
    table: Arc<ConnectionTable>,
    id: u64,
    shared: Arc<ConnectionState>,
}

/// A request of an unknown caller is in progress on a connection.
#[derive(Debug)]
pub(crate) struct UnauthenticatedRequest(Slot);

/// An authenticated request, or a proxy's stream, is in progress on a connection, which prevents its closing.
#[derive(Debug)]
pub(crate) struct Busy(Slot);

impl ConnectionTable {
    pub(crate) fn new(limits: ConnectionLimits, metrics: ConnectionMetrics) -> Arc<Self> {
        metrics.limits(&limits);
        Arc::new(Self { limits, metrics, connections: Mutex::default(), closes: Default::default() })
    }

    /// Adds a connection. Returns `None` if all connections are busy.
    pub(crate) fn admit(self: &Arc<Self>, service: Service, client: Client, has_tls: bool) -> Option<Slot> {
        let mut connections = self.lock();
        if connections.idle_of(service, client) >= self.limits.idle_per_client {
            self.close_first(&mut connections, service, client, Closed::ClientShare);
        }
        if connections.idle_in(service) >= self.limits.idle
            && let Some(client) = connections.largest_client(service)
        {
            self.close_first(&mut connections, service, client, Closed::Crowded);
        }
        if connections.open.len() >= self.limits.total {
            let other = Service::ALL.into_iter().max_by_key(|service| connections.idle_in(*service));
            let victim = other.and_then(|service| Some((service, connections.largest_client(service)?)));
            let Some((service_of, client_of)) = victim else {
                drop(connections);
                self.closed(service, Closed::Refused);
                return None;
            };
            self.close_first(&mut connections, service_of, client_of, Closed::Crowded);
        }
        let id = connections.next;
        connections.next += 1;
        let shared = Arc::new(ConnectionState::default());
        let stage = if has_tls { ConnectionStage::Handshake } else { ConnectionStage::NoRequest };
        let (since, rank) = (Instant::now(), None);
        let shared_slot = Arc::clone(&shared);
        let connection =
            TrackedConnection { service, client, stage, since, rank, unauthenticated: 0, busy: 0, shared: shared_slot };
        connections.insert(id, connection);
        self.count(&connections, service);
        drop(connections);
        Some(Slot(Arc::new(SlotEntry { table: Arc::clone(self), id, shared })))
    }

    /// Counts a connection that this side closed, and logs it at a limited rate.
    pub(crate) fn closed(&self, service: Service, why: Closed) {
        self.metrics.closed(service, why);
        if why != Closed::IdleTimeout
            && let Some(suppressed) = self.closes.get(why as usize).and_then(LogThrottle::allow)
        {
            tracing::warn!(service = service.label(), reason = why.label(), suppressed, "closed connection at a limit");
        }
    }

    /// Starts a task that closes connections past their deadline, until the table is dropped.
    pub(crate) fn sweep(self: &Arc<Self>) -> JoinHandle<()> {
        let table = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut ticks = interval(SWEEP);
            loop {
                ticks.tick().await;
                let Some(table) = table.upgrade() else { return };
                table.close_overdue();
            }
        })
    }

    pub(super) fn close_overdue(&self) {
        let now = Instant::now();
        let overdue = |connection: &TrackedConnection| {
            if connection.shared.is_stalled(now, self.limits.write) {
                return Some(Closed::WriteTimeout);
            }
            let age = now.duration_since(connection.since);
            let (longest, why) = match connection.stage {
                _ if connection.busy > 0 => return None,
                ConnectionStage::Handshake => (self.limits.handshake, Closed::HandshakeTimeout),
                ConnectionStage::NoRequest => (self.limits.request, Closed::RequestTimeout),
                ConnectionStage::Unauthenticated | ConnectionStage::Authenticated if connection.unauthenticated > 0 => {
                    (UNKNOWN_CALLER.max(self.limits.keep_alive), Closed::RequestTimeout)
                }
                ConnectionStage::Unauthenticated | ConnectionStage::Authenticated => {
                    (self.limits.keep_alive, Closed::IdleTimeout)
                }
            };
            (age > longest).then_some(why)
        };
        let mut connections = self.lock();
        let late: Vec<(u64, Closed)> =
            connections.open.iter().filter_map(|(id, connection)| Some((*id, overdue(connection)?))).collect();
        for (id, why) in late {
            self.close(&mut connections, id, why);
        }
    }

    fn close_first(&self, connections: &mut ConnectionSet, service: Service, client: Client, why: Closed) {
        let first = connections.idle.get(&(service, client)).and_then(BTreeSet::first).map(|(_, _, id)| *id);
        if let Some(id) = first {
            self.close(connections, id, why);
        }
    }

    /// Closes a connection. It no longer counts, though its task may take a moment to end.
    fn close(&self, connections: &mut ConnectionSet, id: u64, why: Closed) {
        let Some(connection) = connections.remove(id) else { return };
        if connection.shared.close(why) {
            self.closed(connection.service, why);
        }
        self.count(connections, connection.service);
    }

    fn count(&self, connections: &ConnectionSet, service: Service) {
        let open = connections.open_count.get(service as usize).copied().unwrap_or(0);
        self.metrics.count(service, open, connections.idle_in(service));
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionSet> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut TrackedConnection)) {
        let mut connections = self.lock();
        let Some(connection) = connections.open.get_mut(&id) else { return };
        change(connection);
        let service = connection.service;
        connections.place(id);
        self.count(&connections, service);
    }
}

impl ConnectionSet {
    fn idle_of(&self, service: Service, client: Client) -> usize {
        self.idle.get(&(service, client)).map_or(0, BTreeSet::len)
    }

    fn idle_in(&self, service: Service) -> usize {
        self.idle_count.get(service as usize).copied().unwrap_or(0)
    }

    /// The client with the most idle connections.
    fn largest_client(&self, service: Service) -> Option<Client> {
        let all = (service, 0, Client::V4(0))..=(service, usize::MAX, Client::User(u32::MAX));
        self.by_idle_count.range(all).next_back().map(|(_, _, client)| *client)
    }

    /// Moves a connection into or out of the idle ones.
    fn place(&mut self, id: u64) {
        self.displace(id);
        let next = self.next;
        let Some(connection) = self.open.get_mut(&id) else { return };
        if connection.busy > 0 {
            return;
        }
        self.next += 1;
        let rank = (connection.stage, next, id);
        connection.rank = Some(rank);
        let (service, client) = (connection.service, connection.client);
        self.alter(service, client, |ranks| {
            ranks.insert(rank);
        });
    }

    fn displace(&mut self, id: u64) {
        let Some(connection) = self.open.get_mut(&id) else { return };
        let (service, client) = (connection.service, connection.client);
        let Some(rank) = connection.rank.take() else { return };
        self.alter(service, client, |ranks| {
            ranks.remove(&rank);
        });
    }

    fn insert(&mut self, id: u64, connection: TrackedConnection) {
        if let Some(count) = self.open_count.get_mut(connection.service as usize) {
            *count += 1;
        }
        self.open.insert(id, connection);
        self.place(id);
    }

    fn remove(&mut self, id: u64) -> Option<TrackedConnection> {
        self.displace(id);
        let connection = self.open.remove(&id)?;
        if let Some(count) = self.open_count.get_mut(connection.service as usize) {
            *count = count.saturating_sub(1);
        }
        Some(connection)
    }

    fn alter(&mut self, service: Service, client: Client, change: impl FnOnce(&mut BTreeSet<Rank>)) {
        let ranks = self.idle.entry((service, client)).or_default();
        let before = ranks.len();
        change(ranks);
        let after = ranks.len();
        if after == 0 {
            self.idle.remove(&(service, client));
        }
        self.by_idle_count.remove(&(service, before, client));
        if after > 0 {
            self.by_idle_count.insert((service, after, client));
        }
        if let Some(count) = self.idle_count.get_mut(service as usize) {
            *count = (*count + after).saturating_sub(before);
        }
    }
}

impl Slot {
    pub(super) fn shared(&self) -> Arc<ConnectionState> {
        Arc::clone(&self.0.shared)
    }

    /// Counts a failed TLS handshake, unless the table closed the connection itself.
    pub(crate) fn handshake_failed(&self, error: &std::io::Error) {
        if self.0.shared.is_closed() {
            return;
        }
        let table = &self.0.table;
        let service = table.lock().open.get(&self.0.id).map(|connection| connection.service);
        if let Some(service) = service {
            tracing::debug!(service = service.label(), %error, "TLS handshake of a client failed");
            table.closed(service, Closed::HandshakeFailed);
        }
    }

    /// Records the end of the TLS handshake.
    pub(crate) fn handshake_done(&self) {
        self.0.table.change(self.0.id, |connection| {
            connection.stage = connection.stage.max(ConnectionStage::NoRequest);
            connection.since = Instant::now();
        });
    }

    /// Starts a request of an unknown caller.
    pub(crate) fn start_request(&self) -> UnauthenticatedRequest {
        self.0.table.change(self.0.id, |connection| {
            connection.stage = connection.stage.max(ConnectionStage::Unauthenticated);
            connection.since = Instant::now();
            connection.unauthenticated += 1;
        });
        UnauthenticatedRequest(self.clone())
    }

    /// Whether an authenticated request or the stream of a known proxy has started.
    pub(crate) fn is_known(&self) -> bool {
        self.0.shared.known.load(Ordering::Relaxed)
    }

    /// Starts an authenticated request, or the stream of a known proxy.
    pub(crate) fn busy(&self) -> Busy {
        self.0.shared.known.store(true, Ordering::Relaxed);
        self.0.table.change(self.0.id, |connection| {
            connection.stage = ConnectionStage::Authenticated;
            connection.busy += 1;
        });
        Busy(self.clone())
    }
}

impl Drop for UnauthenticatedRequest {
    fn drop(&mut self) {
        let Slot(entry) = &self.0;
        entry.table.change(entry.id, |connection| {
            connection.unauthenticated = connection.unauthenticated.saturating_sub(1);
            connection.since = Instant::now();
        });
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Slot(entry) = &self.0;
        entry.table.change(entry.id, |connection| {
            connection.busy = connection.busy.saturating_sub(1);
            connection.since = Instant::now();
        });
    }
}

impl Drop for SlotEntry {
    fn drop(&mut self) {
        let mut connections = self.table.lock();
        if let Some(connection) = connections.remove(self.id) {
            self.table.count(&connections, connection.service);
        }
    }
}
