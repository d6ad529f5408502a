//! Who asks STS next: clients take turns, so that the made-up identities of one do not keep another's callers waiting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::connections::Client;

/// Questions under way at a time.
const AT_ONCE: usize = 12;

/// The most of them of one client, so that others find a free one.
const AT_ONCE_OF_ONE: usize = 8;

/// Questions of one client that wait.
const WAITING: usize = 32;

/// Hands out turns.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    under_way: BTreeMap<Client, usize>,
    waiting: BTreeMap<Client, VecDeque<oneshot::Sender<Turn>>>,
    /// Whose turn came last: the next client after it is the next.
    last: Option<Client>,
}

/// A question that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    client: Client,
}

/// A client has as many questions waiting as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull;

impl Turns {
    /// Waits for a turn.
    pub(super) async fn take(&self, client: Client) -> Result<Turn, QueueFull> {
        let granted = {
            let mut queue = self.lock();
            let waiting = queue.waiting.entry(client).or_default();
            waiting.retain(|waiter| !waiter.is_closed());
            if waiting.len() >= WAITING {
                return Err(QueueFull);
            }
            let (grant, granted) = oneshot::channel();
            waiting.push_back(grant);
            granted
        };
        self.grant();
        granted.await.map_err(|_| QueueFull)
    }

    /// Whether a client has as many questions waiting as it may.
    pub(super) fn is_full(&self, client: Client) -> bool {
        let mut queue = self.lock();
        let Some(waiting) = queue.waiting.get_mut(&client) else { return false };
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.len() >= WAITING
    }

    /// Gives free turns to those that wait.
    fn grant(&self) {
        loop {
            let next = self.lock().next();
            let Some((client, waiter)) = next else { return };
            // A waiter that has gone gives its turn back by dropping it, outside the lock.
            drop(waiter.send(Turn { turns: self.clone(), client }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn next(&mut self) -> Option<(Client, oneshot::Sender<Turn>)> {
        self.waiting.retain(|_, waiting| {
            waiting.retain(|waiter| !waiter.is_closed());
            !waiting.is_empty()
        });
        if self.under_way.values().sum::<usize>() >= AT_ONCE {
            return None;
        }
        let may = |client: &&Client| self.under_way.get(client).copied().unwrap_or(0) < AT_ONCE_OF_ONE;
        let after = self.waiting.keys().filter(|client| Some(**client) > self.last).find(may);
        let client = *after.or_else(|| self.waiting.keys().find(may))?;
        let waiter = self.waiting.get_mut(&client)?.pop_front()?;
        self.last = Some(client);
        *self.under_way.entry(client).or_default() += 1;
        Some((client, waiter))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.turns.lock();
        if let Some(count) = queue.under_way.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                queue.under_way.remove(&self.client);
            }
        }
        drop(queue);
        self.turns.grant();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LOUD: Client = Client::V4(1);
    const QUIET: Client = Client::V4(2);

    #[tokio::test]
    async fn a_client_with_many_questions_does_not_keep_another_waiting() {
        let turns = Turns::default();
        let mut under_way = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..AT_ONCE_OF_ONE {
            under_way.push(turns.take(LOUD).now_or_never().unwrap().unwrap());
        }
        for _ in 0..WAITING {
            let mut question = Box::pin(turns.take(LOUD));
            assert!((&mut question).now_or_never().is_none());
            waiting.push(question);
        }
        assert!(turns.is_full(LOUD) && !turns.is_full(QUIET));
        assert_eq!(turns.take(LOUD).now_or_never().unwrap().err(), Some(QueueFull));
        let quiet = turns.take(QUIET).now_or_never().unwrap().unwrap();
        drop(quiet);
        under_way.pop();
        let first = waiting.remove(0);
        drop(first.now_or_never().unwrap().unwrap());
        drop(waiting);
        assert!(!turns.is_full(LOUD), "those that went away do not count");
    }
}
