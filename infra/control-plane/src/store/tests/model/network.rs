//! The log of the model, and the network between it and the replicas.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Bug, KEYS, World, node, path};
use crate::quotas::Quotas;
use crate::state::tests::{spec, stamp};
use crate::state::{Action, Record, State, Write};
use crate::storage::{Appended, Digest, Entry, LogItem, LogPage, Sequence, Snapshot};
use crate::store::replica::ReadNumber;

/// The most items of a page.
const PAGE: usize = 10;

/// How many entries before the head stay complete.
const COMPLETE: u64 = 6;

/// The log, and the history of the state that it leads to.
pub(super) struct ModelLog {
    bug: Option<Bug>,
    items: BTreeMap<Sequence, LogItem>,
    pub(super) snapshot: Snapshot,
    states: BTreeMap<Sequence, (State, Digest, Timestamp)>,
    head: Sequence,
    /// The versions of every key after each entry.
    pub(super) history: Vec<[u64; KEYS]>,
    /// How often each write is in the log.
    pub(super) applied: HashMap<u64, u64>,
    pub(super) violations: Vec<String>,
}

/// A request to the log.
#[derive(Debug, Clone)]
pub(super) enum LogRequest {
    Append(Arc<Entry>),
    Read(Sequence, ReadNumber),
    LoadSnapshot,
}

/// An answer of the log.
#[derive(Debug, Clone)]
pub(super) enum LogReply {
    Appended(Sequence, Appended),
    Read(Sequence, ReadNumber, LogPage),
    Snapshot(Box<Snapshot>),
}

impl ModelLog {
    /// A log with every key in its first snapshot.
    pub(super) fn new(bug: Option<Bug>) -> Self {
        let mut state = State::new(Quotas::default());
        for key in 0..KEYS {
            let action = Action::Create { spec: spec(&path(key), 0), tags: Vec::new() };
            let write = Write { path: path(key), action, if_version: None, token: None };
            state.write(&write, &stamp(key)).unwrap();
        }
        let digest = Digest::of_state(&state).unwrap();
        let snapshot = Snapshot { sequence: 0, time: Timestamp::UNIX_EPOCH, digest, records: state.records() };
        let states = BTreeMap::from([(0, (state, digest, Timestamp::UNIX_EPOCH))]);
        Self {
            bug,
            items: BTreeMap::new(),
            snapshot,
            states,
            head: 0,
            history: vec![[1; KEYS]],
            applied: HashMap::new(),
            violations: Vec::new(),
        }
    }

    pub(super) const fn head(&self) -> Sequence {
        self.head
    }

    pub(super) fn state(&self) -> &State {
        &self.states[&self.head].0
    }

    fn handle(&mut self, request: &LogRequest) -> LogReply {
        match request {
            LogRequest::Append(entry) => LogReply::Appended(entry.sequence, self.append(entry)),
            LogRequest::Read(after, number) => {
                let items: Vec<LogItem> =
                    (after + 1..).map_while(|at| self.items.get(&at).cloned()).take(PAGE).collect();
                let more = self.items.contains_key(&(after + 1 + items.len() as u64));
                LogReply::Read(*after, *number, LogPage { items, more })
            }
            LogRequest::LoadSnapshot => LogReply::Snapshot(Box::new(self.snapshot.clone())),
        }
    }

    fn append(&mut self, entry: &Entry) -> Appended {
        if let Some(item) = self.items.get(&entry.sequence) {
            return Appended::Taken(item.clone());
        }
        self.items.insert(entry.sequence, LogItem::Entry(entry.clone()));
        if entry.sequence == self.head + 1 {
            self.follow(entry);
        }
        Appended::Done
    }

    fn follow(&mut self, entry: &Entry) {
        let (state, digest, time) = &self.states[&self.head];
        let (mut state, mut versions) = (state.clone(), *self.history.last().unwrap());
        if entry.digest != digest.after(&state, &entry.records).unwrap() {
            self.violations.push(format!("entry {} has a wrong digest", entry.sequence));
        }
        if entry.time < *time {
            self.violations.push(format!("time goes back at entry {}", entry.sequence));
        }
        for record in entry.records.iter() {
            if let Record::Resource(resource) = record {
                let key = (0..KEYS).find(|key| path(*key) == resource.path).unwrap();
                if resource.version != versions[key] + 1 {
                    self.violations.push(format!("m{key} goes from {} to {}", versions[key], resource.version));
                }
                versions[key] = resource.version;
                let number = u64::try_from(resource.last_updated_at.as_second()).unwrap();
                *self.applied.entry(number).or_default() += 1;
            }
            state.apply(record);
        }
        self.head = entry.sequence;
        self.history.push(versions);
        self.states.insert(self.head, (state, entry.digest, entry.time));
        let old = self.head.saturating_sub(2 * COMPLETE);
        self.states.retain(|sequence, _| *sequence >= old);
    }

    /// Stores a snapshot, and empties the entries that it contains.
    pub(super) fn trim(&mut self) {
        if self.head <= 2 * COMPLETE {
            return;
        }
        let upto = self.head - COMPLETE;
        let (state, digest, time) = &self.states[&upto];
        self.snapshot = Snapshot { sequence: upto, time: *time, digest: *digest, records: state.records() };
        if self.bug == Some(Bug::TrimmingDeletes) {
            self.items.retain(|sequence, _| *sequence > upto);
        } else {
            for (_, item) in self.items.range_mut(..=upto) {
                *item = LogItem::Emptied(item.origin());
            }
        }
    }
}

/// Sends a request. Request and answer may each be lost, late or doubled; late ones overtake.
pub(super) fn send(world: &mut World, number: usize, request: &LogRequest) {
    let incarnation = world.nodes[number].incarnation;
    let copies = match world.draw.below(100) {
        0..6 if !world.is_calm() => 0,
        6..12 if !world.is_calm() => 2,
        _ => 1,
    };
    for _ in 0..copies {
        let request = request.clone();
        let delay = delay(world, 600);
        world.after(delay, move |world| {
            let reply = world.log.handle(&request);
            if !world.is_calm() && world.draw.percent(6) {
                return;
            }
            let delay = self::delay(world, 300);
            world.after(delay, move |world| node::receive(world, number, incarnation, reply));
        });
    }
}

fn delay(world: &mut World, longest: u64) -> u64 {
    let usual = world.draw.between(1, 8);
    let late = !world.is_calm() && world.draw.percent(5);
    usual + if late { world.draw.between(20, longest) } else { 0 }
}
