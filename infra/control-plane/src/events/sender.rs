//! The sender of change events to one receiver, where replicas share a store: it reads them from the log.
//!
//! ```text
//!  acquire the cursor <---------------------------------- another replica has it
//!        |                                                        ^
//!        v                                                        |
//!  read the log --> batch --> receiver, until it accepts --> store the cursor
//!                                  (meanwhile: renew it)
//! ```
//!
//! Every replica runs a sender for each receiver, and the owner of the receiver's cursor sends. Another one takes over when the
//! cursor was not renewed for [`TAKEOVER`] by its own clock. A crash between a delivery and the put of the cursor repeats a
//! batch, with equal ids. Every event before a batch is delivered before the batch is sent, so a replica that was paused
//! and continues repeats events, but neither skips one nor changes the order of the events of a resource.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ports::{BusEvent, PortError, PortErrorKind};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::EventReceiver;
use super::batch::{Backlog, PendingEvent, Position};
use crate::metrics::EventMetrics;
use crate::state::Realm;
use crate::storage::{EventCursor, EventCursors, Log, LogError, Sequence};

/// A cursor that was not renewed for this long is taken over.
pub(super) const TAKEOVER: Duration = Duration::from_secs(15);

/// The interval at which the owner renews a cursor.
const RENEW: Duration = Duration::from_secs(4);

/// The interval at which the other replicas read a cursor.
const WATCH: Duration = Duration::from_secs(3);

/// The timeout of a request to the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause after a failed request to the store.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The timeout of an attempt to send a batch.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The pauses between the attempts of a batch: from the first to the longest, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How long an event is sent again that its receiver refuses. Then the receiver does not get it: one event must not hold up
/// all later ones.
const REFUSED_FOR: Duration = Duration::from_mins(1);

/// A planted mistake of the sender.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// The cursor is stored before the events are sent.
    CursorBeforeSend,
    /// A batch has several events of one resource.
    SeveralOfOneResource,
}

/// The log and the cursor of one receiver.
#[derive(Debug)]
pub(super) struct EventSender {
    pub(super) receiver: EventReceiver,
    pub(super) log: Arc<dyn Log>,
    pub(super) cursors: Arc<dyn EventCursors>,
    pub(super) replica: Uuid,
    pub(super) realm: Realm,
    pub(super) head: watch::Receiver<Sequence>,
    pub(super) metrics: EventMetrics,
    pub(super) ends: watch::Receiver<bool>,
    /// A planted mistake, for the test that has to find it.
    #[cfg(test)]
    pub(super) mistake: Option<Mistake>,
}

/// The cursor that this replica owns.
#[derive(Debug)]
struct Lease {
    cursor: EventCursor,
    renewed: Instant,
}

/// Why a replica stops sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Another replica has the cursor.
    Lost,
    /// The process ends.
    End,
}

impl EventSender {
    /// Gives a receiver without a cursor one at the present end of the log: it gets every event from now on.
    pub(super) async fn begin(&self) -> Result<(), LogError> {
        let late = || LogError::unknown("store the cursor of change events", "no response in time");
        let known = timeout(STORE_TIMEOUT, self.cursors.cursor(&self.receiver.name)).await.map_err(|_| late())??;
        if known.is_none() {
            let sequence = *self.head.borrow();
            let cursor = EventCursor { owner: None, renewals: 1, sequence, events: 0 };
            let put = self.cursors.put_cursor(&self.receiver.name, &cursor);
            timeout(STORE_TIMEOUT, put).await.map_err(|_| late())??;
        }
        Ok(())
    }

    /// Sends while this replica owns the cursor, until the end of the process.
    pub(super) async fn run(mut self) {
        self.metrics.initialize(self.receiver.kind.label());
        loop {
            let Some(cursor) = self.acquire().await else { return };
            tracing::info!(receiver = self.receiver.name, sequence = cursor.sequence, "sending change events");
            let stop = self.send_all(cursor).await;
            self.metrics.sending(&self.receiver.name, false);
            match stop {
                Stop::Lost => tracing::warn!(receiver = self.receiver.name, "another replica sends change events"),
                Stop::End => return,
            }
        }
    }

    fn is_ending(&self) -> bool {
        *self.ends.borrow()
    }

    /// Waits until this replica owns the cursor. `None` at the end of the process.
    async fn acquire(&mut self) -> Option<EventCursor> {
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            if self.is_ending() {
                return None;
            }
            match timeout(STORE_TIMEOUT, self.cursors.cursor(&self.receiver.name)).await {
                Ok(Ok(Some(cursor))) => {
                    self.report_backlog(cursor.sequence);
                    let since = match seen {
                        Some((renewals, since)) if renewals == cursor.renewals => since,
                        Some(_) | None => Instant::now(),
                    };
                    seen = Some((cursor.renewals, since));
                    let is_free = cursor.owner.is_none_or(|owner| owner == self.replica);
                    if (is_free || since.elapsed() >= TAKEOVER)
                        && let Some(own) = self.put(&cursor, Some(self.replica)).await
                    {
                        return Some(own);
                    }
                }
                // A restored store has none.
                Ok(Ok(None)) => drop(self.begin().await),
                Ok(Err(error)) => tracing::debug!(%error, "failed to read the cursor of change events"),
                Err(_) => tracing::debug!("failed to read the cursor of change events in time"),
            }
            let _ = timeout(WATCH, ended(self.ends.clone())).await;
        }
    }

    /// Stores a cursor with this owner. `None` if that failed, or if another replica was faster.
    async fn put(&self, cursor: &EventCursor, owner: Option<Uuid>) -> Option<EventCursor> {
        let next = EventCursor { owner, renewals: cursor.renewals.saturating_add(1), ..cursor.clone() };
        let stored = timeout(STORE_TIMEOUT, self.cursors.put_cursor(&self.receiver.name, &next)).await;
        stored.ok()?.ok().filter(|stored| *stored == next)
    }

    /// Stores the position, until it is stored or another replica has the cursor.
    async fn renew(&self, lease: &mut Lease, position: Position) -> Result<(), Stop> {
        let (Position { sequence, events }, cursor) = (position, &lease.cursor);
        let next = EventCursor { renewals: cursor.renewals.saturating_add(1), sequence, events, ..cursor.clone() };
        loop {
            match timeout(STORE_TIMEOUT, self.cursors.put_cursor(&self.receiver.name, &next)).await {
                Ok(Ok(stored)) if stored == next => {
                    *lease = Lease { cursor: next, renewed: Instant::now() };
                    return Ok(());
                }
                Ok(Ok(_)) => return Err(Stop::Lost),
                Ok(Err(error)) => tracing::debug!(%error, "failed to store the cursor of change events"),
                Err(_) => tracing::debug!("failed to store the cursor of change events in time"),
            }
            if self.is_ending() {
                return Err(Stop::End);
            }
            // Another replica may take over meanwhile, and this one then fails to renew.
            sleep(STORE_PAUSE).await;
        }
    }

    async fn send_all(&mut self, cursor: EventCursor) -> Stop {
        let position = Position { sequence: cursor.sequence, events: cursor.events };
        let mut lease = Lease { cursor, renewed: Instant::now() };
        let mut backlog = Backlog::new(self.cursors.log_id(), self.realm.clone(), position);
        #[cfg(test)]
        if self.mistake == Some(Mistake::SeveralOfOneResource) {
            backlog.allow_several_of_one_resource();
        }
        self.metrics.sending(&self.receiver.name, true);
        loop {
            match self.send_next(&mut lease, &mut backlog).await {
                Ok(()) => {}
                Err(Stop::Lost) => return Stop::Lost,
                Err(Stop::End) => {
                    // Another replica need not wait for the takeover.
                    let Position { sequence, events } = backlog.position();
                    self.put(&EventCursor { sequence, events, ..lease.cursor }, None).await;
                    return Stop::End;
                }
            }
        }
    }

    /// Reads a page of the log and sends one batch, or waits.
    async fn send_next(&mut self, lease: &mut Lease, backlog: &mut Backlog) -> Result<(), Stop> {
        if self.is_ending() {
            return Err(Stop::End);
        }
        if lease.renewed.elapsed() >= RENEW {
            self.renew(lease, backlog.position()).await?;
        }
        let head = *self.head.borrow_and_update();
        self.report_backlog(backlog.position().sequence);
        if backlog.needs_page() && backlog.read() < head {
            match timeout(STORE_TIMEOUT, self.log.read(backlog.read())).await {
                Ok(Ok(page)) => backlog.accept(page.items, Timestamp::now()),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "failed to read change events of the log");
                    sleep(STORE_PAUSE).await;
                }
                Err(_) => tracing::debug!("failed to read change events of the log in time"),
            }
            self.metrics.ended(self.receiver.kind.label(), "expired", backlog.take_expired());
        }
        let batch = backlog.next_batch();
        if batch.is_empty() {
            if backlog.read() >= head {
                let ended = ended(self.ends.clone());
                tokio::select! {
                    () = sleep_until(lease.renewed + RENEW) => {}
                    _ = self.head.changed() => {}
                    () = ended => {}
                }
            }
            return Ok(());
        }
        #[cfg(test)]
        if self.mistake == Some(Mistake::CursorBeforeSend)
            && let Some(last) = batch.last()
        {
            self.renew(lease, last.after).await?;
        }
        let delivered = self.deliver(lease, backlog.position(), &batch).await?;
        backlog.delivered(delivered);
        self.renew(lease, backlog.position()).await
    }

    /// Sends a batch until its receiver has it. Returns how many of its events need not be sent again.
    async fn deliver(&mut self, lease: &mut Lease, position: Position, batch: &[PendingEvent]) -> Result<usize, Stop> {
        let (kind, began, mut pause) = (self.receiver.kind.label(), Instant::now(), FIRST_PAUSE);
        let mut events: Vec<_> = batch.iter().map(|pending| pending.event.clone()).collect();
        loop {
            let reason = match self.attempt(lease, position, &events).await? {
                Ok(()) => {
                    self.metrics.ended(kind, "sent", u64::try_from(events.len()).unwrap_or(u64::MAX));
                    return Ok(events.len());
                }
                // An operator has to permit it, and every event would be refused until then.
                Err(error) if error.kind.may_heal() || error.kind == PortErrorKind::Denied => error.to_string(),
                // One event is refused: each is sent alone, so that the others arrive.
                Err(_) if events.len() > 1 => {
                    events.truncate(1);
                    continue;
                }
                Err(error) if began.elapsed() >= REFUSED_FOR => {
                    tracing::error!(receiver = kind, %error, "receiver refused change event of the log");
                    self.metrics.ended(kind, "refused", 1);
                    return Ok(1);
                }
                Err(error) => error.to_string(),
            };
            tracing::warn!(
                receiver = kind,
                reason,
                ?pause,
                "failed to send change events of the log; retrying after a pause"
            );
            self.wait(lease, position, pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends events once, and renews the cursor meanwhile.
    async fn attempt(
        &self,
        lease: &mut Lease,
        position: Position,
        events: &[BusEvent],
    ) -> Result<Result<(), PortError>, Stop> {
        let attempt = timeout(SEND_TIMEOUT, self.receiver.bus.put(events));
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                outcome = &mut attempt => {
                    let late = |_| Err(PortError::new("send events", PortErrorKind::TimedOut, "no response in time"));
                    return Ok(outcome.unwrap_or_else(late));
                }
                () = sleep_until(lease.renewed + RENEW) => self.renew(lease, position).await?,
            }
        }
    }

    /// Waits for this time, and renews the cursor meanwhile.
    async fn wait(&self, lease: &mut Lease, position: Position, pause: Duration) -> Result<(), Stop> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            tokio::select! {
                () = sleep_until(until) => {}
                () = sleep_until(lease.renewed + RENEW) => self.renew(lease, position).await?,
                () = ended(self.ends.clone()) => return Err(Stop::End),
            }
        }
        Ok(())
    }

    fn report_backlog(&self, sequence: Sequence) {
        self.metrics.backlog(&self.receiver.name, self.head.borrow().saturating_sub(sequence));
    }
}

/// Completes at the end of the process.
async fn ended(mut ends: watch::Receiver<bool>) {
    // An error means that the process ends, too.
    let _ = ends.wait_for(|ends| *ends).await;
}

#[cfg(test)]
mod tests;
