//! A replica of the state: the part of the store that decides, without I/O and without a clock.
//!
//! ```text
//!  stage --> waiting --> next_entry --> (append) --> appended: Done ----> applied, answered
//!                ^                                     |
//!                |                                     +---- Taken --> the other entry is applied,
//!                +--- writers decide again <------------------------- and all waiting writers decide again
//!
//!  wait_for_head --> begin_read --> (read) --> read_done: every entry is applied, then the waiting readers go on
//! ```
//!
//! There are two states. Writes are decided on the staged state, which includes the waiting ones; reads use the stored
//! state, which is that of the log at `sequence`. At most one append is in flight. An append with an unknown outcome
//! stays in flight, and only the identical entry is sent again: a new one could apply its writes a second time.

use std::mem;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::state::{Change, Record, State};
use crate::storage::{Appended, Digest, Entry, EntryOrigin, LogItem, LogPage, Sequence, Snapshot};

/// The most writes in one entry.
const MAX_WRITES: usize = 500;

/// The most writes that wait. A later write is refused, and its client slows down.
const MAX_WAITING: usize = 1000;

/// The most bytes of records and events in one entry, before compression. One larger write is a separate entry.
const MAX_BYTES: usize = 300 * 1024;

/// A replica of the state.
#[derive(Debug)]
pub(super) struct Replica {
    origin: EntryOrigin,
    is_shared: bool,
    sequence: Sequence,
    time: Timestamp,
    digest: Digest,
    stored: State,
    staged: State,
    waiting: Vec<WaitingWrite>,
    in_flight: Option<InFlight>,
    barriers: Barriers,
    /// The changes that were applied since the last call of [`Replica::publish`].
    changes: Vec<AppliedChange>,
    /// The writes that were stored since then. They are answered after their changes are published.
    stored_writes: Vec<WaitingWrite>,
    needs_snapshot: bool,
    failure: Option<String>,
}

/// A decided write that is not stored.
#[derive(Debug)]
struct WaitingWrite {
    records: Vec<Record>,
    /// Its change events, which are stored with it.
    events: Vec<String>,
    /// Whether a repetition has no second effect, because a token or the write itself identifies it.
    repeatable: bool,
    bytes: usize,
    reply: oneshot::Sender<WriteEnd>,
}

#[derive(Debug)]
struct InFlight {
    entry: Arc<Entry>,
    writes: Vec<WaitingWrite>,
}

/// The reads that wait for the head of the log. A read of the log serves the waiters that arrived before it began.
#[derive(Debug, Default)]
struct Barriers {
    running: Option<ReadNumber>,
    next: u64,
    served: Vec<oneshot::Sender<()>>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// Identifies a read of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadNumber(u64);

/// A change that was applied, for followers of the state.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AppliedChange {
    pub(super) change: Change,
    /// Whether a write of this replica made it.
    pub(super) is_own: bool,
}

/// How a decided write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteEnd {
    /// It is stored, and so is everything that its decision depends on.
    Stored,
    /// Another replica was faster: the write was not stored, and has to be decided again.
    DecideAgain,
    /// It was not stored, and will not be.
    NotStored,
    /// It may have been stored.
    Unknown,
}

/// What a decision depends on.
#[derive(Debug)]
pub(super) enum Durability {
    /// Stored writes only.
    Already,
    /// Writes that are not stored yet.
    Later(oneshot::Receiver<WriteEnd>),
}

/// A decision on the staged state.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// The records that were applied to the staged state.
    pub(super) records: Vec<Record>,
    /// The change events of the write, which are stored with its records.
    pub(super) events: Vec<String>,
    /// Whether a repetition of the write has no second effect.
    pub(super) repeatable: bool,
}

impl Replica {
    /// A replica that starts with a snapshot. `digest` of a log that is not shared is not used.
    pub(super) fn new(stored: State, start: &Snapshot, writer: Uuid, is_shared: bool) -> Self {
        Self {
            origin: EntryOrigin { writer, number: 0 },
            is_shared,
            sequence: start.sequence,
            time: start.time,
            digest: start.digest,
            staged: stored.clone(),
            stored,
            waiting: Vec::new(),
            in_flight: None,
            barriers: Barriers::default(),
            changes: Vec::new(),
            stored_writes: Vec::new(),
            needs_snapshot: false,
            failure: None,
        }
    }

    /// The stored state.
    pub(super) const fn stored(&self) -> &State {
        &self.stored
    }

    /// The last applied entry.
    pub(super) const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The time of the last applied entry.
    pub(super) const fn time(&self) -> Timestamp {
        self.time
    }

    /// The reason why this replica cannot continue, if there is one.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether the log no longer has an entry that this replica lacks.
    pub(super) const fn needs_snapshot(&self) -> bool {
        self.needs_snapshot
    }

    /// Whether decided writes wait for an entry.
    pub(super) const fn has_writes(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether no further write may wait.
    pub(super) const fn is_crowded(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// Passes the applied changes on, in order, and answers the stored writes after them: a client that has its answer
    /// finds the change wherever changes are received.
    pub(super) fn publish(&mut self, receive: impl FnMut(AppliedChange)) {
        mem::take(&mut self.changes).into_iter().for_each(receive);
        notify(mem::take(&mut self.stored_writes), WriteEnd::Stored);
    }

    /// The current state as a snapshot.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { sequence: self.sequence, time: self.time, digest: self.digest, records: self.stored.records() }
    }

    /// Makes a decision on the staged state. A decision without changes waits for the staged writes as well: a refusal
    /// may depend on a write that still fails.
    pub(super) fn stage<T>(&mut self, decide: impl FnOnce(&mut State) -> (T, Decision)) -> (T, Durability) {
        let (outcome, decision) = decide(&mut self.staged);
        let is_ahead = !self.waiting.is_empty() || self.in_flight.is_some();
        if decision.records.is_empty() && !is_ahead {
            return (outcome, Durability::Already);
        }
        let (reply, stored) = oneshot::channel();
        let events = decision.events.iter().map(String::len);
        let bytes = decision.records.iter().map(Record::bytes).chain(events).fold(0, usize::saturating_add);
        let Decision { records, events, repeatable } = decision;
        // A decision without records changes nothing, so it may be made again.
        let repeatable = repeatable || records.is_empty();
        self.waiting.push(WaitingWrite { records, events, repeatable, bytes, reply });
        (outcome, Durability::Later(stored))
    }

    /// The next entry to append, if there is one and none is in flight. `now` is the time of this machine's clock.
    pub(super) fn next_entry(&mut self, now: Timestamp) -> Option<Arc<Entry>> {
        if self.in_flight.is_some() || self.needs_snapshot || self.failure.is_some() {
            return None;
        }
        if self.is_shared {
            self.drop_abandoned();
        }
        let writes = self.take_group();
        let records: Vec<Record> = writes.iter().flat_map(|write| write.records.iter().cloned()).collect();
        if records.is_empty() {
            // Only decisions that waited for an earlier entry.
            self.stored_writes.extend(writes);
            return None;
        }
        let digest = if self.is_shared { self.digest.after(&self.stored, &records) } else { Ok(self.digest) };
        let digest = match digest {
            Ok(digest) => digest,
            Err(error) => {
                tracing::error!(%error, "failed to encode records of writes");
                notify(writes, WriteEnd::NotStored);
                self.reset(WriteEnd::NotStored);
                return None;
            }
        };
        let events: Vec<String> = writes.iter().flat_map(|write| write.events.iter().cloned()).collect();
        self.origin.number = self.origin.number.saturating_add(1);
        let entry = Arc::new(Entry {
            sequence: self.sequence.saturating_add(1),
            origin: self.origin,
            time: self.time.max(now),
            digest,
            records: records.into(),
            events: events.into(),
        });
        self.in_flight = Some(InFlight { entry: Arc::clone(&entry), writes });
        Some(entry)
    }

    /// The entry of the append in flight: its outcome is not known yet.
    pub(super) fn in_flight(&self) -> Option<&Arc<Entry>> {
        self.in_flight.as_ref().map(|in_flight| &in_flight.entry)
    }

    /// The result of an append. It may arrive late or twice.
    pub(super) fn appended(&mut self, sequence: Sequence, outcome: Appended) {
        match outcome {
            Appended::Done => self.settle(sequence),
            Appended::Taken(item) => {
                if sequence == self.sequence.saturating_add(1) {
                    self.take(item);
                }
            }
        }
    }

    /// The append in flight had no effect and will have none. All writes that wait depend on it, and fail as well.
    pub(super) fn refused(&mut self, sequence: Sequence) {
        if self.in_flight().is_some_and(|entry| entry.sequence == sequence) {
            if let Some(in_flight) = self.in_flight.take() {
                notify(in_flight.writes, WriteEnd::NotStored);
            }
            self.reset(WriteEnd::NotStored);
        }
    }

    /// Fails every waiting write without an append, since the log is known to refuse it.
    pub(super) fn refuse_waiting(&mut self) {
        if self.in_flight.is_none() {
            self.reset(WriteEnd::NotStored);
        }
    }

    /// Completes when every write is applied that was acknowledged before this call.
    pub(super) fn wait_for_head(&mut self) -> oneshot::Receiver<()> {
        let (served, wait) = oneshot::channel();
        self.barriers.waiting.push(served);
        wait
    }

    /// Whether a reader waits for a read of the log that has not begun.
    pub(super) const fn has_waiting_readers(&self) -> bool {
        !self.barriers.waiting.is_empty()
    }

    /// Begins a read of the log, which serves all readers that wait now. The read itself has to begin after this call,
    /// and may be repeated until [`Replica::read_done`] returns false.
    pub(super) fn begin_read(&mut self) -> ReadNumber {
        let number = ReadNumber(self.barriers.next);
        self.barriers.next = self.barriers.next.saturating_add(1);
        let waiting = mem::take(&mut self.barriers.waiting);
        self.barriers.served.extend(waiting);
        self.barriers.running = Some(number);
        number
    }

    /// A planted mistake: readers that arrive during a read are served by it.
    #[cfg(test)]
    pub(super) fn join_running_read(&mut self) {
        if self.barriers.running.is_some() {
            let waiting = mem::take(&mut self.barriers.waiting);
            self.barriers.served.extend(waiting);
        }
    }

    /// The result of a read of the items after a sequence. Returns whether the read has to continue.
    pub(super) fn read_done(&mut self, number: ReadNumber, after: Sequence, page: LogPage) -> bool {
        let end = after.saturating_add(u64::try_from(page.items.len()).unwrap_or(u64::MAX));
        let mut position = after;
        for item in page.items {
            position = position.saturating_add(1);
            if position == self.sequence.saturating_add(1) {
                self.take(item);
            }
        }
        if self.barriers.running != Some(number) {
            return false;
        }
        if page.more || self.sequence < end {
            return self.failure.is_none();
        }
        self.barriers.running = None;
        for served in mem::take(&mut self.barriers.served) {
            // The reader may have stopped waiting.
            let _ = served.send(());
        }
        false
    }

    /// Continues with a snapshot, if it is later than this state. `state` is the state of its records.
    pub(super) fn install(&mut self, snapshot: &Snapshot, state: State) {
        self.needs_snapshot = false;
        if snapshot.sequence <= self.sequence {
            return;
        }
        for change in self.stored.changes_to(&state) {
            self.changes.push(AppliedChange { change, is_own: false });
        }
        self.stored = state;
        (self.sequence, self.time, self.digest) = (snapshot.sequence, snapshot.time, snapshot.digest);
        if let Some(in_flight) = self.in_flight.take() {
            // Whether it was stored is lost with its entry. A write with a token finds its answer, if there is one.
            for write in in_flight.writes {
                let end = if write.repeatable { WriteEnd::DecideAgain } else { WriteEnd::Unknown };
                let _ = write.reply.send(end);
            }
        }
        self.reset(WriteEnd::DecideAgain);
    }

    /// Stops for ever, for this reason.
    pub(super) fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
        if let Some(in_flight) = self.in_flight.take() {
            notify(in_flight.writes, WriteEnd::Unknown);
        }
        self.reset(WriteEnd::NotStored);
    }

    /// Applies the next item of the log.
    fn take(&mut self, item: LogItem) {
        if self.failure.is_some() {
            return;
        }
        let next = self.sequence.saturating_add(1);
        if self.in_flight().is_some_and(|entry| entry.sequence == next && entry.origin == item.origin()) {
            self.settle(next);
            return;
        }
        let entry = match item {
            LogItem::Entry(entry) => entry,
            LogItem::Emptied(_) => {
                self.needs_snapshot = true;
                return;
            }
        };
        match self.digest.after(&self.stored, &entry.records) {
            Ok(digest) if entry.sequence == next && digest == entry.digest => {}
            Ok(_) => return self.fail(format!("entry {next} of the log does not lead to its digest")),
            Err(error) => return self.fail(format!("entry {next} of the log cannot be encoded: {error}")),
        }
        self.apply(&entry, false);
        let superseded = self.in_flight.take();
        if superseded.is_none() && self.waiting.is_empty() {
            for record in entry.records.iter() {
                self.staged.apply(record);
            }
            return;
        }
        if let Some(in_flight) = superseded {
            notify(in_flight.writes, WriteEnd::DecideAgain);
        }
        self.reset(WriteEnd::DecideAgain);
    }

    /// The entry in flight is stored.
    fn settle(&mut self, sequence: Sequence) {
        if sequence != self.sequence.saturating_add(1)
            || self.in_flight().is_none_or(|entry| entry.sequence != sequence)
        {
            return;
        }
        let Some(in_flight) = self.in_flight.take() else { return };
        self.apply(&in_flight.entry, true);
        self.stored_writes.extend(in_flight.writes);
    }

    fn apply(&mut self, entry: &Entry, is_own: bool) {
        for record in entry.records.iter() {
            if let Some(change) = self.stored.change_of(record) {
                self.changes.push(AppliedChange { change, is_own });
            }
            self.stored.apply(record);
        }
        (self.sequence, self.time, self.digest) = (entry.sequence, entry.time, entry.digest);
    }

    /// Ends every waiting write, and continues from the stored state.
    fn reset(&mut self, end: WriteEnd) {
        notify(mem::take(&mut self.waiting), end);
        self.staged = self.stored.clone();
    }

    /// Drops the writes of clients that stopped waiting, so that they are not stored long after that. Later writes were
    /// decided on them, and are decided again.
    fn drop_abandoned(&mut self) {
        if self.waiting.iter().any(|write| !write.records.is_empty() && write.reply.is_closed()) {
            self.waiting.retain(|write| !write.reply.is_closed());
            self.reset(WriteEnd::DecideAgain);
        }
    }

    /// Takes the writes of the next entry.
    fn take_group(&mut self) -> Vec<WaitingWrite> {
        let mut bytes: usize = 0;
        let fits = |(number, write): &(usize, &WaitingWrite)| {
            bytes = bytes.saturating_add(write.bytes);
            *number == 0 || (*number < MAX_WRITES && bytes <= MAX_BYTES)
        };
        let count = self.waiting.iter().enumerate().take_while(fits).count();
        let later = self.waiting.split_off(count);
        mem::replace(&mut self.waiting, later)
    }
}

fn notify(writes: Vec<WaitingWrite>, end: WriteEnd) {
    for write in writes {
        // The writer may have stopped waiting.
        let _ = write.reply.send(end);
    }
}
