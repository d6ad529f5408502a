//! The events of the log that a receiver lacks, in order, and the batches in which they are sent.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use ports::BusEvent;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::state::Realm;
use crate::storage::{LogItem, Sequence};

/// How many events are sent at a time: the limit of one `PutEvents` call.
pub(super) const BATCH: usize = 10;

/// The detail type of the event that replaces events which the log no longer has.
const LOST: &str = "Meshwarden Change Events Lost";

/// An event as an entry of the log has it: without an id, which follows from its position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoggedEvent {
    /// The path of the resource. The events of one resource are sent in order.
    pub(super) resource: String,
    pub(super) detail_type: String,
    pub(super) detail: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) resources: Vec<String>,
}

/// Up to where a receiver has the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// It has every event up to this entry of the log.
    pub(super) sequence: Sequence,
    /// The number of events of the next entry that it has.
    pub(super) events: u64,
}

/// An event that is sent next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PendingEvent {
    resource: Option<String>,
    pub(super) event: BusEvent,
    /// The position after it.
    pub(super) after: Position,
}

/// The events after a position, as far as the log was read.
#[derive(Debug)]
pub(super) struct Backlog {
    log_id: Uuid,
    realm: Realm,
    position: Position,
    /// Up to where the log was read.
    read: Sequence,
    pending: VecDeque<PendingEvent>,
    /// The number of entries that the log no longer had.
    expired: u64,
    #[cfg(test)]
    allows_several: bool,
}

impl Backlog {
    pub(super) fn new(log_id: Uuid, realm: Realm, position: Position) -> Self {
        Self {
            log_id,
            realm,
            position,
            read: position.sequence,
            pending: VecDeque::new(),
            expired: 0,
            #[cfg(test)]
            allows_several: false,
        }
    }

    /// A planted mistake: a batch may have several events of one resource.
    #[cfg(test)]
    pub(super) fn allow_several_of_one_resource(&mut self) {
        self.allows_several = true;
    }

    /// Up to where the receiver has the events.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// The sequence after which the log is read next.
    pub(super) const fn read(&self) -> Sequence {
        self.read
    }

    /// Whether another page of the log is needed before a batch is complete.
    pub(super) fn needs_page(&self) -> bool {
        self.pending.len() < BATCH
    }

    /// Accepts the next items of the log. `now` is the time of an event about lost events.
    pub(super) fn accept(&mut self, items: Vec<LogItem>, now: Timestamp) {
        let mut lost: Option<(Sequence, Sequence)> = None;
        for item in items {
            let sequence = self.read.saturating_add(1);
            match item {
                LogItem::Entry(entry) => {
                    self.report_lost(lost.take(), now);
                    self.accept_events(sequence, &entry.events);
                }
                LogItem::Emptied(_) => {
                    self.expired = self.expired.saturating_add(1);
                    lost = Some((lost.map_or(sequence, |(first, _)| first), sequence));
                }
            }
            self.read = sequence;
        }
        self.report_lost(lost, now);
        self.skip_entries_without_events();
    }

    fn accept_events(&mut self, sequence: Sequence, events: &[String]) {
        let is_started = self.position.sequence.saturating_add(1) == sequence;
        let sent = if is_started { self.position.events } else { 0 };
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        for (number, text) in (0..).zip(events).filter(|(number, _)| *number >= sent) {
            let number: u64 = number;
            let done = number.saturating_add(1);
            let before = sequence.saturating_sub(1);
            let after = if done >= count {
                Position { sequence, events: 0 }
            } else {
                Position { sequence: before, events: done }
            };
            match serde_json::from_str::<LoggedEvent>(text) {
                Ok(LoggedEvent { resource, detail_type, detail, resources }) => {
                    let detail = with_id(detail, event_id(self.log_id, sequence, &format!("{number}")));
                    let event = BusEvent { detail_type, detail, resources };
                    self.pending.push_back(PendingEvent { resource: Some(resource), event, after });
                }
                // Another release wrote it. The receiver has to know that it lacks an event.
                Err(error) => {
                    tracing::error!(sequence, %error, "failed to decode change event of the log");
                    self.push_lost(sequence, sequence, after, Timestamp::UNIX_EPOCH);
                }
            }
        }
    }

    fn report_lost(&mut self, lost: Option<(Sequence, Sequence)>, now: Timestamp) {
        if let Some((first, last)) = lost {
            self.push_lost(first, last, Position { sequence: last, events: 0 }, now);
        }
    }

    fn push_lost(&mut self, first: Sequence, last: Sequence, after: Position, now: Timestamp) {
        let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let detail = json!({
            "eventTime": second.to_string(), "awsRegion": self.realm.region().as_str(),
            "recipientAccountId": self.realm.account().as_str(), "firstSequence": first, "lastSequence": last,
        });
        let detail = with_id(detail, event_id(self.log_id, first, &format!("lost to {last}")));
        let event = BusEvent { detail_type: LOST.to_owned(), detail, resources: Vec::new() };
        // It is sent alone: it concerns every resource.
        self.pending.push_back(PendingEvent { resource: None, event, after });
    }

    /// Entries without events need no delivery.
    fn skip_entries_without_events(&mut self) {
        if self.pending.is_empty() {
            self.position = Position { sequence: self.read, events: 0 };
        }
    }

    /// The next events, at most ten and at most one for each resource: where a bus refuses some events of a call, their
    /// repetition would otherwise overtake a later event of the same resource.
    pub(super) fn next_batch(&self) -> Vec<PendingEvent> {
        #[cfg(test)]
        if self.allows_several {
            return self.pending.iter().take(BATCH).cloned().collect();
        }
        let mut named = BTreeSet::new();
        let mut batch: Vec<PendingEvent> = Vec::new();
        for event in self.pending.iter().take(BATCH) {
            match &event.resource {
                Some(resource) if named.insert(resource) => batch.push(event.clone()),
                None if batch.is_empty() => {
                    batch.push(event.clone());
                    break;
                }
                Some(_) | None => break,
            }
        }
        batch
    }

    /// The receiver has this many further events, or they are given up.
    pub(super) fn delivered(&mut self, count: usize) {
        if let Some(last) = self.pending.drain(..count.min(self.pending.len())).next_back() {
            self.position = last.after;
        }
        self.skip_entries_without_events();
    }

    /// The number of entries that the log no longer had since the last call.
    pub(super) fn take_expired(&mut self) -> u64 {
        std::mem::take(&mut self.expired)
    }
}

/// The id of an event: the same whichever replica sends it, and how often. The namespace is the id of the log.
fn event_id(log_id: Uuid, sequence: Sequence, part: &str) -> Uuid {
    let hash = Sha256::new().chain_update(log_id.as_bytes()).chain_update(format!("{sequence} {part}")).finalize();
    Builder::from_custom_bytes(hash.first_chunk().copied().unwrap_or_default()).into_uuid()
}

/// The detail of an event, with an id.
pub(super) fn with_id(mut detail: Value, id: Uuid) -> Value {
    if let Some(members) = detail.as_object_mut() {
        members.insert("eventID".to_owned(), id.to_string().into());
    }
    detail
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::state::Region;
    use crate::storage::{Digest, Entry, EntryOrigin};

    const LOG: Uuid = Uuid::from_u128(7);

    fn backlog(sequence: Sequence, events: u64) -> Backlog {
        let realm = Realm::new("123456789012".parse().unwrap(), Region::parse("eu-west-1").unwrap());
        Backlog::new(LOG, realm, Position { sequence, events })
    }

    fn origin() -> EntryOrigin {
        EntryOrigin { writer: Uuid::from_u128(1), number: 1 }
    }

    fn entry(sequence: Sequence, resources: &[&str]) -> LogItem {
        let event = |resource: &&str| {
            let detail = json!({ "name": resource });
            let (resource, detail_type) = ((*resource).to_owned(), "call".to_owned());
            serde_json::to_string(&LoggedEvent { resource, detail_type, detail, resources: Vec::new() }).unwrap()
        };
        LogItem::Entry(Entry {
            sequence,
            origin: origin(),
            time: Timestamp::UNIX_EPOCH,
            digest: Digest::default(),
            records: Arc::default(),
            events: resources.iter().map(event).collect(),
        })
    }

    fn names(batch: &[PendingEvent]) -> Vec<&str> {
        batch.iter().map(|pending| pending.event.detail["name"].as_str().unwrap_or("lost")).collect()
    }

    #[test]
    fn batch_has_one_event_of_a_resource() {
        let mut backlog = backlog(0, 0);
        backlog.accept(vec![entry(1, &["a", "b"]), entry(2, &[]), entry(3, &["c", "a", "d"])], Timestamp::UNIX_EPOCH);
        assert_eq!(names(&backlog.next_batch()), ["a", "b", "c"]);
        backlog.delivered(1);
        assert_eq!(backlog.position(), Position { sequence: 0, events: 1 });
        backlog.delivered(2);
        assert_eq!(backlog.position(), Position { sequence: 2, events: 1 });
        assert_eq!(names(&backlog.next_batch()), ["a", "d"]);
        backlog.delivered(2);
        assert_eq!((backlog.position(), backlog.read()), (Position { sequence: 3, events: 0 }, 3));
    }

    #[test]
    fn ids_depend_on_the_position_alone() {
        let items = || vec![entry(1, &["a", "b"]), entry(2, &["a"])];
        let mut all = backlog(0, 0);
        all.accept(items(), Timestamp::UNIX_EPOCH);
        let ids = |backlog: &Backlog| -> Vec<String> {
            backlog.pending.iter().map(|pending| pending.event.detail["eventID"].to_string()).collect()
        };
        let mut rest = backlog(0, 1);
        rest.accept(items(), Timestamp::now());
        assert_eq!(ids(&rest), ids(&all)[1..]);
        assert_eq!(ids(&all).iter().collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn receiver_learns_of_entries_that_the_log_no_longer_has() {
        let emptied = || LogItem::Emptied(origin());
        let mut backlog = backlog(0, 1);
        backlog.accept(vec![emptied(), emptied(), entry(3, &["a"]), emptied()], Timestamp::UNIX_EPOCH);
        assert_eq!(backlog.take_expired(), 3);
        let lost = backlog.next_batch();
        assert_eq!(lost.len(), 1, "it is sent alone");
        assert_eq!(lost[0].event.detail_type, LOST);
        let range = |event: &BusEvent| (event.detail["firstSequence"].as_u64(), event.detail["lastSequence"].as_u64());
        assert_eq!(range(&lost[0].event), (Some(1), Some(2)));
        backlog.delivered(1);
        assert_eq!(names(&backlog.next_batch()), ["a"]);
        backlog.delivered(1);
        assert_eq!(range(&backlog.next_batch()[0].event), (Some(4), Some(4)));
    }

    #[test]
    fn unreadable_event_is_reported_as_lost() {
        let mut backlog = backlog(0, 0);
        let LogItem::Entry(broken) = entry(1, &["a"]) else { unreachable!("it is an entry") };
        backlog
            .accept(vec![LogItem::Entry(Entry { events: ["{".to_owned()].into(), ..broken })], Timestamp::UNIX_EPOCH);
        assert_eq!(backlog.next_batch()[0].event.detail_type, LOST);
    }
}
