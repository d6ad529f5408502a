//! A queue for requests to STS that is fair to clients: forged identities of one client do not delay the callers of
//! another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::connections::Client;

/// The most requests in progress.
const MAX_IN_PROGRESS: usize = 12;

/// The most requests of one client in progress, so that some stay free for other clients.
const MAX_IN_PROGRESS_PER_CLIENT: usize = 8;

/// The most waiting requests of one client.
const MAX_WAITING_PER_CLIENT: usize = 32;

/// The queue; grants permits to clients in turn.
#[derive(Debug, Clone, Default)]
pub(super) struct FairQueue(Arc<Mutex<QueueState>>);

#[derive(Debug, Default)]
struct QueueState {
    in_progress: BTreeMap<Client, usize>,
    waiting: BTreeMap<Client, VecDeque<oneshot::Sender<QueuePermit>>>,
    /// The client that received the last permit: the client after it is the next.
    last: Option<Client>,
}

/// The permit of a request in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct QueuePermit {
    queue: FairQueue,
    client: Client,
}

/// As many requests of a client are waiting as allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull;

impl FairQueue {
    /// Waits for a permit.
    pub(super) async fn acquire(&self, client: Client) -> Result<QueuePermit, QueueFull> {
        let granted = {
            let mut queue = self.lock();
            let waiting = queue.waiting.entry(client).or_default();
            waiting.retain(|waiter| !waiter.is_closed());
            if waiting.len() >= MAX_WAITING_PER_CLIENT {
                return Err(QueueFull);
            }
            let (grant, granted) = oneshot::channel();
            waiting.push_back(grant);
            granted
        };
        self.grant();
        granted.await.map_err(|_| QueueFull)
    }

    /// Whether as many requests of a client are waiting as allowed.
    pub(super) fn is_full(&self, client: Client) -> bool {
        let mut queue = self.lock();
        let Some(waiting) = queue.waiting.get_mut(&client) else { return false };
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.len() >= MAX_WAITING_PER_CLIENT
    }

    /// Grants free permits to waiting requests.
    fn grant(&self) {
        loop {
            let next = self.lock().next();
            let Some((client, waiter)) = next else { return };
            // If the waiter was dropped, the permit comes back and is dropped here, outside the lock.
            drop(waiter.send(QueuePermit { queue: self.clone(), client }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn next(&mut self) -> Option<(Client, oneshot::Sender<QueuePermit>)> {
        self.waiting.retain(|_, waiting| {
            waiting.retain(|waiter| !waiter.is_closed());
            !waiting.is_empty()
        });
        if self.in_progress.values().sum::<usize>() >= MAX_IN_PROGRESS {
            return None;
        }
        let may = |client: &&Client| self.in_progress.get(client).copied().unwrap_or(0) < MAX_IN_PROGRESS_PER_CLIENT;
        let after = self.waiting.keys().filter(|client| Some(**client) > self.last).find(may);
        let client = *after.or_else(|| self.waiting.keys().find(may))?;
        let waiter = self.waiting.get_mut(&client)?.pop_front()?;
        self.last = Some(client);
        *self.in_progress.entry(client).or_default() += 1;
        Some((client, waiter))
    }
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        let mut queue = self.queue.lock();
        if let Some(count) = queue.in_progress.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                queue.in_progress.remove(&self.client);
            }
        }
        drop(queue);
        self.queue.grant();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LOUD: Client = Client::V4(1);
    const QUIET: Client = Client::V4(2);

    #[tokio::test]
    async fn a_client_with_many_requests_does_not_delay_another() {
        let queue = FairQueue::default();
        let mut in_progress = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..MAX_IN_PROGRESS_PER_CLIENT {
            in_progress.push(queue.acquire(LOUD).now_or_never().unwrap().unwrap());
        }
        for _ in 0..MAX_WAITING_PER_CLIENT {
            let mut request = Box::pin(queue.acquire(LOUD));
            assert!((&mut request).now_or_never().is_none());
            waiting.push(request);
        }
        assert!(queue.is_full(LOUD) && !queue.is_full(QUIET));
        assert_eq!(queue.acquire(LOUD).now_or_never().unwrap().err(), Some(QueueFull));
        let quiet = queue.acquire(QUIET).now_or_never().unwrap().unwrap();
        drop(quiet);
        in_progress.pop();
        let first = waiting.remove(0);
        drop(first.now_or_never().unwrap().unwrap());
        drop(waiting);
        assert!(!queue.is_full(LOUD), "dropped waiters do not count");
    }
}
