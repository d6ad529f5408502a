//! The memory for request bodies of unknown callers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use super::Client;
use super::metrics::ConnectionMetrics;

/// The limits on request bodies of unknown callers, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyBudgetLimits {
    pub(crate) total: usize,
    pub(crate) per_client: usize,
}

impl Default for BodyBudgetLimits {
    /// A body that identifies its caller has some kilobytes: there is room for thousands.
    fn default() -> Self {
        Self { total: 32 * 1024 * 1024, per_client: 8 * 1024 * 1024 }
    }
}

/// Counts the memory of bodies. A body that exceeds its client's share displaces the oldest incomplete body of the
/// same client, so that a client's slow requests do not block its fast ones.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    limits: BodyBudgetLimits,
    metrics: ConnectionMetrics,
    bodies: Mutex<Bodies>,
}

#[derive(Debug, Default)]
struct Bodies {
    next: u64,
    total: usize,
    /// By client, oldest first.
    open: BTreeMap<(Client, u64), BufferedBody>,
    per_client: BTreeMap<Client, usize>,
}

#[derive(Debug)]
struct BufferedBody {
    bytes: usize,
    complete: bool,
    displaced: Arc<Displacement>,
}

/// Whether another body has displaced this one.
#[derive(Debug, Default)]
struct Displacement {
    is: AtomicBool,
    waker: AtomicWaker,
}

/// The memory of one body, released when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<BodyBudget>,
    client: Client,
    id: u64,
    displaced: Arc<Displacement>,
}

/// No memory is available for a body of an unknown caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl BodyBudget {
    pub(crate) fn new(limits: BodyBudgetLimits, metrics: ConnectionMetrics) -> Arc<Self> {
        Arc::new(Self { limits, metrics, bodies: Mutex::default() })
    }

    /// Starts to receive a body.
    pub(crate) fn begin(self: &Arc<Self>, client: Client) -> Reservation {
        let mut bodies = self.lock();
        let id = bodies.next;
        bodies.next += 1;
        let displaced = Arc::<Displacement>::default();
        let body = BufferedBody { bytes: 0, complete: false, displaced: Arc::clone(&displaced) };
        bodies.open.insert((client, id), body);
        Reservation { budget: Arc::clone(self), client, id, displaced }
    }

    fn grow(&self, client: Client, id: u64, bytes: usize) -> Result<(), NoRoom> {
        let mut bodies = self.lock();
        let grown = self.make_room(&mut bodies, client, id, bytes);
        if grown.is_ok() {
            bodies.add(client, id, bytes);
        } else {
            self.metrics.body_refused();
        }
        self.metrics.unknown_bytes(bodies.total);
        grown
    }

    fn make_room(&self, bodies: &mut Bodies, client: Client, id: u64, bytes: usize) -> Result<(), NoRoom> {
        if !bodies.open.contains_key(&(client, id)) {
            return Err(NoRoom);
        }
        while bodies.bytes_of(client) + bytes > self.limits.per_client {
            self.displace_oldest(bodies, client, id)?;
        }
        while bodies.total + bytes > self.limits.total {
            let largest = bodies.per_client.iter().max_by_key(|(_, bytes)| **bytes).map(|(client, _)| *client);
            self.displace_oldest(bodies, largest.ok_or(NoRoom)?, id)?;
        }
        Ok(())
    }

    fn displace_oldest(&self, bodies: &mut Bodies, client: Client, but: u64) -> Result<(), NoRoom> {
        let of_client = bodies.open.range((client, 0)..=(client, u64::MAX));
        let mut others = of_client.filter(|((_, id), body)| *id != but && !body.complete && body.bytes > 0);
        let oldest = others.next().map(|(key, _)| *key).ok_or(NoRoom)?;
        if let Some(body) = bodies.remove(oldest) {
            body.displaced.is.store(true, Ordering::Release);
            body.displaced.waker.wake();
            self.metrics.body_refused();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bodies {
    fn bytes_of(&self, client: Client) -> usize {
        self.per_client.get(&client).copied().unwrap_or(0)
    }

    fn add(&mut self, client: Client, id: u64, bytes: usize) {
        if let Some(body) = self.open.get_mut(&(client, id)) {
            body.bytes += bytes;
            self.total += bytes;
            *self.per_client.entry(client).or_default() += bytes;
        }
    }

    fn remove(&mut self, key: (Client, u64)) -> Option<BufferedBody> {
        let body = self.open.remove(&key)?;
        self.total = self.total.saturating_sub(body.bytes);
        let left = self.bytes_of(key.0).saturating_sub(body.bytes);
        if left == 0 {
            self.per_client.remove(&key.0);
        } else {
            self.per_client.insert(key.0, left);
        }
        Some(body)
    }
}

impl Reservation {
    /// Reserves more memory.
    pub(crate) fn grow(&self, bytes: usize) -> Result<(), NoRoom> {
        self.budget.grow(self.client, self.id, bytes)
    }

    /// Marks the body as complete: it is not displaced any more.
    pub(crate) fn complete(&self) {
        if let Some(body) = self.budget.lock().open.get_mut(&(self.client, self.id)) {
            body.complete = true;
        }
    }

    /// Ready once another body has displaced this one. Only one task at a time may wait.
    pub(crate) fn poll_displaced(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.displaced.waker.register(cx.waker());
        if self.displaced.is.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until another body has displaced this one.
    pub(crate) async fn displaced(&self) {
        poll_fn(|cx| self.poll_displaced(cx)).await;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut bodies = self.budget.lock();
        bodies.remove((self.client, self.id));
        self.budget.metrics.unknown_bytes(bodies.total);
    }
}
