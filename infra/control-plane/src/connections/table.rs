//! The connections that there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use super::{Client, Closed, ConnectionLimits, Service};
use crate::log::Seldom;
use crate::metrics::ConnectionMetrics;

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_millis(500);

/// How long requests under way may take whose caller is not known: the body, and the question to STS. Both have
/// deadlines of their own below this.
const UNKNOWN_CALLER: Duration = Duration::from_secs(30);

/// All connections of one process.
#[derive(Debug)]
pub(crate) struct ConnectionTable {
    limits: ConnectionLimits,
    metrics: ConnectionMetrics,
    connections: Mutex<Connections>,
    /// One for each reason, so that none hides another.
    closes: [Seldom; Closed::ALL.len() + 1],
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, Connection>,
    /// The idle ones of each client, the first to be closed first.
    idle: BTreeMap<(Service, Client), BTreeSet<Rank>>,
    /// The clients with idle connections, by how many they have.
    greediest: BTreeSet<(Service, usize, Client)>,
    idle_count: [usize; Service::ALL.len()],
    open_count: [usize; Service::ALL.len()],
}

/// The order in which idle connections are closed: how far they got, and since when they are there.
type Rank = (Stage, u64, u64);

#[derive(Debug)]
struct Connection {
    service: Service,
    client: Client,
    stage: Stage,
    since: Instant,
    /// Where it is among the idle ones; none while it is busy.
    rank: Option<Rank>,
    /// Requests and streams under way, and how many of them are authenticated.
    heard: usize,
    busy: usize,
    shared: Arc<Shared>,
}

/// How far a connection got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// In its TLS handshake.
    Handshake,
    /// Without a request so far.
    Silent,
    /// With a request, of a caller that is not known.
    Heard,
    /// With an authenticated request.
    Known,
}

/// What the table and the connection's reads and writes share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    closed: AtomicU8,
    known: AtomicBool,
    pub(super) reading: AtomicWaker,
    pub(super) writing: AtomicWaker,
    /// Whether a write waits for the client to read; the time is the table's.
    pub(super) stalled: AtomicBool,
    stalled_since: Mutex<Option<Instant>>,
}

impl Shared {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) != 0
    }

    fn close(&self, why: Closed) -> bool {
        let first = self.closed.compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.reading.wake();
        self.writing.wake();
        first
    }

    /// Whether a write has waited for longer than is allowed.
    fn is_stalled(&self, now: Instant, longest: Duration) -> bool {
        let mut since = self.stalled_since.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stalled.load(Ordering::Relaxed) {
            *since = None;
            return false;
        }
        now.duration_since(*since.get_or_insert(now)) > longest
    }
}

/// A connection's place in the table, given up when the last copy is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<Place>);

#[derive(Debug)]
struct Place {
    table: Arc<ConnectionTable>,
    id: u64,
    shared: Arc<Shared>,
}

/// A request is under way on a connection.
#[derive(Debug)]
pub(crate) struct Heard(Slot);

/// An authenticated request, or a proxy's stream, is under way on a connection, which is not closed meanwhile.
#[derive(Debug)]
pub(crate) struct Busy(Slot);

impl ConnectionTable {
    pub(crate) fn new(limits: ConnectionLimits, metrics: ConnectionMetrics) -> Arc<Self> {
        metrics.limits(&limits);
        Arc::new(Self { limits, metrics, connections: Mutex::default(), closes: Default::default() })
    }

    /// Makes room for a connection. `None`: there is none, since all connections are busy.
    pub(crate) fn admit(self: &Arc<Self>, service: Service, client: Client, has_tls: bool) -> Option<Slot> {
        let mut connections = self.lock();
        if connections.idle_of(service, client) >= self.limits.idle_per_client {
            self.close_first(&mut connections, service, client, Closed::ClientShare);
        }
        if connections.idle_in(service) >= self.limits.idle
            && let Some(client) = connections.greediest(service)
        {
            self.close_first(&mut connections, service, client, Closed::Crowded);
        }
        if connections.open.len() >= self.limits.total {
            let other = Service::ALL.into_iter().max_by_key(|service| connections.idle_in(*service));
            let victim = other.and_then(|service| Some((service, connections.greediest(service)?)));
            let Some((service_of, client_of)) = victim else {
                drop(connections);
                self.closed(service, Closed::Refused);
                return None;
            };
            self.close_first(&mut connections, service_of, client_of, Closed::Crowded);
        }
        let id = connections.next;
        connections.next += 1;
        let shared = Arc::new(Shared::default());
        let stage = if has_tls { Stage::Handshake } else { Stage::Silent };
        let (since, rank) = (Instant::now(), None);
        let connection =
            Connection { service, client, stage, since, rank, heard: 0, busy: 0, shared: Arc::clone(&shared) };
        connections.insert(id, connection);
        self.count(&connections, service);
        drop(connections);
        Some(Slot(Arc::new(Place { table: Arc::clone(self), id, shared })))
    }

    /// Counts a connection that this side closed, and logs it now and then.
    pub(crate) fn closed(&self, service: Service, why: Closed) {
        self.metrics.closed(service, why);
        if why != Closed::IdleTimeout
            && let Some(suppressed) = self.closes.get(why as usize).and_then(Seldom::now)
        {
            tracing::warn!(
                service = service.label(),
                reason = why.label(),
                suppressed,
                "connection closed by its limits"
            );
        }
    }

    /// Closes what is past its deadline, until the table is gone.
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
        let overdue = |connection: &Connection| {
            if connection.shared.is_stalled(now, self.limits.write) {
                return Some(Closed::WriteTimeout);
            }
            let age = now.duration_since(connection.since);
            let (longest, why) = match connection.stage {
                _ if connection.busy > 0 => return None,
                Stage::Handshake => (self.limits.handshake, Closed::HandshakeTimeout),
                Stage::Silent => (self.limits.request, Closed::RequestTimeout),
                Stage::Heard | Stage::Known if connection.heard > 0 => {
                    (UNKNOWN_CALLER.max(self.limits.keep_alive), Closed::RequestTimeout)
                }
                Stage::Heard | Stage::Known => (self.limits.keep_alive, Closed::IdleTimeout),
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

    fn close_first(&self, connections: &mut Connections, service: Service, client: Client, why: Closed) {
        let first = connections.idle.get(&(service, client)).and_then(BTreeSet::first).map(|(_, _, id)| *id);
        if let Some(id) = first {
            self.close(connections, id, why);
        }
    }

    /// Closes a connection; it is not counted any more, though its task may take a moment to end.
    fn close(&self, connections: &mut Connections, id: u64, why: Closed) {
        let Some(connection) = connections.remove(id) else { return };
        if connection.shared.close(why) {
            self.closed(connection.service, why);
        }
        self.count(connections, connection.service);
    }

    fn count(&self, connections: &Connections, service: Service) {
        let open = connections.open_count.get(service as usize).copied().unwrap_or(0);
        self.metrics.count(service, open, connections.idle_in(service));
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Connection)) {
        let mut connections = self.lock();
        let Some(connection) = connections.open.get_mut(&id) else { return };
        change(connection);
        let service = connection.service;
        connections.place(id);
        self.count(&connections, service);
    }
}

impl Connections {
    fn idle_of(&self, service: Service, client: Client) -> usize {
        self.idle.get(&(service, client)).map_or(0, BTreeSet::len)
    }

    fn idle_in(&self, service: Service) -> usize {
        self.idle_count.get(service as usize).copied().unwrap_or(0)
    }

    fn greediest(&self, service: Service) -> Option<Client> {
        let all = (service, 0, Client::V4(0))..=(service, usize::MAX, Client::User(u32::MAX));
        self.greediest.range(all).next_back().map(|(_, _, client)| *client)
    }

    /// Puts a connection where it belongs: among the idle ones, or not.
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

    fn insert(&mut self, id: u64, connection: Connection) {
        if let Some(count) = self.open_count.get_mut(connection.service as usize) {
            *count += 1;
        }
        self.open.insert(id, connection);
        self.place(id);
    }

    fn remove(&mut self, id: u64) -> Option<Connection> {
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
        self.greediest.remove(&(service, before, client));
        if after > 0 {
            self.greediest.insert((service, after, client));
        }
        if let Some(count) = self.idle_count.get_mut(service as usize) {
            *count = (*count + after).saturating_sub(before);
        }
    }
}

impl Slot {
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0.shared)
    }

    /// The TLS handshake failed; nothing is counted where the table closed the connection itself.
    pub(crate) fn handshake_failed(&self, error: &std::io::Error) {
        if self.0.shared.is_closed() {
            return;
        }
        let table = &self.0.table;
        let service = table.lock().open.get(&self.0.id).map(|connection| connection.service);
        if let Some(service) = service {
            tracing::debug!(service = service.label(), %error, "TLS handshake failed");
            table.closed(service, Closed::HandshakeFailed);
        }
    }

    /// The TLS handshake is done.
    pub(crate) fn greeted(&self) {
        self.0.table.change(self.0.id, |connection| {
            connection.stage = connection.stage.max(Stage::Silent);
            connection.since = Instant::now();
        });
    }

    /// A request begins, of a caller that is not known yet.
    pub(crate) fn hear(&self) -> Heard {
        self.0.table.change(self.0.id, |connection| {
            connection.stage = connection.stage.max(Stage::Heard);
            connection.since = Instant::now();
            connection.heard += 1;
        });
        Heard(self.clone())
    }

    /// Whether an authenticated request or the stream of a known proxy has begun.
    pub(crate) fn is_known(&self) -> bool {
        self.0.shared.known.load(Ordering::Relaxed)
    }

    /// An authenticated request, or the stream of a known proxy, begins.
    pub(crate) fn busy(&self) -> Busy {
        self.0.shared.known.store(true, Ordering::Relaxed);
        self.0.table.change(self.0.id, |connection| {
            connection.stage = Stage::Known;
            connection.busy += 1;
        });
        Busy(self.clone())
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let Slot(place) = &self.0;
        place.table.change(place.id, |connection| {
            connection.heard = connection.heard.saturating_sub(1);
            connection.since = Instant::now();
        });
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Slot(place) = &self.0;
        place.table.change(place.id, |connection| {
            connection.busy = connection.busy.saturating_sub(1);
            connection.since = Instant::now();
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.table.lock();
        if let Some(connection) = connections.remove(self.id) {
            self.table.count(&connections, connection.service);
        }
    }
}
