//! A replica of the model: the real replica, with the steps of the real worker and of the real writers in virtual time.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use uuid::Uuid;

use super::network::{LogReply, LogRequest, ModelLog, send};
use super::{Bug, Request, Step, Time, World, path};
use crate::error::ApiError;
use crate::quotas::Quotas;
use crate::state::{Answer, Stamp, State};
use crate::storage::{Entry, Sequence, Snapshot};
use crate::store::replica::{Decision, Durability, ReadNumber, Replica, WriteEnd};

/// The interval of polls.
const POLL: Time = 60;

/// After this time a request is sent again.
const RESEND: Time = 70;

/// A replica with its clients.
pub(super) struct Node {
    number: usize,
    pub(super) incarnation: u64,
    replica: Replica,
    is_down: bool,
    paused_until: Time,
    held: Vec<Step>,
    reading: Option<ReadNumber>,
    sent: Option<Arc<Entry>>,
    pending: Vec<PendingCall>,
    /// How far the clock is ahead, in milliseconds.
    skew: u64,
    versions: Vec<(String, u64)>,
}

/// A client's request at a replica.
struct PendingCall {
    call: u64,
    request: Request,
    confirmed: bool,
    wait: CallWait,
}

enum CallWait {
    /// For the head of the log, to decide again or to read.
    Head(oneshot::Receiver<()>),
    /// For the storage of a decision.
    Stored(oneshot::Receiver<WriteEnd>, Result<Answer, ApiError>),
}

/// The answer to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeReply {
    Version(u64),
    Refused,
    NotStored,
    Unknown,
}

impl Node {
    pub(super) fn new(number: usize, log: &ModelLog, skew: u64) -> Self {
        Self {
            number,
            incarnation: 0,
            replica: replica(number, 0, &log.snapshot),
            is_down: false,
            paused_until: 0,
            held: Vec::new(),
            reading: None,
            sent: None,
            pending: Vec::new(),
            skew,
            versions: Vec::new(),
        }
    }

    /// The difference from the end of the log, if there is one.
    pub(super) fn differs(&self, head: Sequence, state: &State) -> Option<String> {
        let (number, sequence) = (self.number, self.replica.sequence());
        if let Some(failure) = self.replica.failure() {
            return Some(format!("replica {number} stopped: {failure}"));
        }
        let is_equal = self.is_down || (sequence == head && self.replica.stored() == state);
        (!is_equal).then(|| format!("replica {number} at {sequence} differs from the log at {head}"))
    }
}

fn replica(number: usize, incarnation: u64, snapshot: &Snapshot) -> Replica {
    let mut state = State::new(Quotas::default());
    for record in &snapshot.records {
        state.apply(record);
    }
    let writer = Uuid::from_u128((u128::try_from(number).unwrap() << 64) + u128::from(incarnation));
    Replica::new(state, snapshot, writer, true)
}

/// Runs a step at a replica, unless it has crashed since; later, if it is paused.
fn at_node(world: &mut World, number: usize, incarnation: u64, step: impl FnOnce(&mut World) + 'static) {
    let node = &mut world.nodes[number];
    if node.is_down || node.incarnation != incarnation {
        return;
    }
    if world.now < node.paused_until {
        node.held.push(Box::new(move |world| at_node(world, number, incarnation, step)));
        return;
    }
    step(world);
    advance(world, number);
}

pub(super) fn pause(world: &mut World, number: usize, time: Time) {
    let node = &mut world.nodes[number];
    node.paused_until = node.paused_until.max(world.now + time);
    world.after(time, move |world| {
        let node = &mut world.nodes[number];
        if world.now >= node.paused_until {
            for step in std::mem::take(&mut node.held) {
                step(world);
            }
        }
    });
}

/// Kills a replica, and starts it again from the last snapshot.
pub(super) fn crash(world: &mut World, number: usize) {
    let node = &mut world.nodes[number];
    node.is_down = true;
    node.incarnation += 1;
    node.held.clear();
    node.pending.clear();
    let back = world.draw.between(5, 300);
    let incarnation = node.incarnation;
    world.after(back, move |world| {
        if world.nodes[number].incarnation != incarnation {
            return;
        }
        let writer = if world.bug == Some(Bug::WriterReused) { 0 } else { incarnation };
        let started = replica(number, writer, &world.log.snapshot);
        let node = &mut world.nodes[number];
        (node.replica, node.is_down, node.reading, node.sent) = (started, false, None, None);
        node.versions.clear();
        poll(world, number, incarnation);
    });
}

/// Begins a read of the log at intervals.
pub(super) fn poll(world: &mut World, number: usize, incarnation: u64) {
    if world.nodes[number].incarnation != incarnation {
        return;
    }
    at_node(world, number, incarnation, move |world| {
        if world.nodes[number].reading.is_none() {
            begin_read(world, number);
        }
    });
    world.after(POLL, move |world| poll(world, number, incarnation));
}

fn begin_read(world: &mut World, number: usize) {
    let node = &mut world.nodes[number];
    let read = node.replica.begin_read();
    node.reading = Some(read);
    read_again(world, number, read);
}

/// Sends a read, and again until it is answered.
fn read_again(world: &mut World, number: usize, read: ReadNumber) {
    let node = &world.nodes[number];
    if node.reading != Some(read) {
        return;
    }
    let incarnation = node.incarnation;
    let request = LogRequest::Read(node.replica.sequence(), read);
    send(world, number, &request);
    world.after(RESEND, move |world| {
        at_node(world, number, incarnation, move |world| read_again(world, number, read));
    });
}

/// Sends an append, and again until its outcome is known.
fn append_again(world: &mut World, number: usize, entry: Arc<Entry>) {
    let node = &mut world.nodes[number];
    if node.replica.in_flight().is_none_or(|current| !Arc::ptr_eq(current, &entry)) {
        return;
    }
    let is_first = node.sent.as_ref().is_none_or(|sent| !Arc::ptr_eq(sent, &entry));
    if world.bug == Some(Bug::NewEntryAfterTimeout) && !is_first {
        node.replica.refused(entry.sequence);
        return;
    }
    node.sent = Some(Arc::clone(&entry));
    let incarnation = node.incarnation;
    send(world, number, &LogRequest::Append(Arc::clone(&entry)));
    world.after(RESEND, move |world| {
        at_node(world, number, incarnation, move |world| append_again(world, number, entry));
    });
}

/// An answer of the log.
pub(super) fn receive(world: &mut World, number: usize, incarnation: u64, reply: LogReply) {
    at_node(world, number, incarnation, move |world| {
        let node = &mut world.nodes[number];
        match reply {
            LogReply::Appended(sequence, outcome) => node.replica.appended(sequence, outcome),
            LogReply::Snapshot(snapshot) => {
                let mut state = State::new(Quotas::default());
                for record in &snapshot.records {
                    state.apply(record);
                }
                node.replica.install(&snapshot, state);
                node.versions.clear();
            }
            LogReply::Read(after, read, page) => {
                let continues = node.replica.read_done(read, after, page);
                if node.reading == Some(read) && continues {
                    let request = LogRequest::Read(node.replica.sequence(), read);
                    send(world, number, &request);
                } else if node.reading == Some(read) {
                    node.reading = None;
                }
            }
        }
    });
}

/// A client's request arrives.
pub(super) fn request(world: &mut World, number: usize, call: u64, request: Request) {
    let incarnation = world.nodes[number].incarnation;
    at_node(world, number, incarnation, move |world| {
        let is_local = world.bug == Some(Bug::LocalRead);
        let node = &mut world.nodes[number];
        match &request.write {
            None if is_local => {
                let version = node.replica.stored().find(&path(request.key)).unwrap().version;
                reply(world, number, call, NodeReply::Version(version));
            }
            None => {
                let wait = CallWait::Head(node.replica.wait_for_head());
                node.pending.push(PendingCall { call, request, confirmed: false, wait });
            }
            Some(_) => decide(world, number, PendingCall { call, request, confirmed: false, wait: nothing() }),
        }
    });
}

fn nothing() -> CallWait {
    CallWait::Head(oneshot::channel().1)
}

/// Decides a write, as the store does.
fn decide(world: &mut World, number: usize, mut pending: PendingCall) {
    let Some((write_number, write)) = pending.request.write.clone() else { return };
    let node = &mut world.nodes[number];
    let now = Timestamp::from_second(i64::try_from(write_number).unwrap()).unwrap();
    let stamp = Stamp { now, uid: Uuid::from_u128(u128::from(write_number)), caller: None };
    let (outcome, stored) = node.replica.stage(|state| match state.write(&write, &stamp) {
        Ok(written) => (
            Ok(written.answer),
            Decision { records: written.records, events: Vec::new(), repeatable: write.token.is_some() },
        ),
        Err(error) => (Err(error), Decision::default()),
    });
    match stored {
        Durability::Already => finish(world, number, pending, outcome),
        Durability::Later(_) if world.bug == Some(Bug::EarlyAnswer) && outcome.is_ok() => {
            finish(world, number, pending, outcome);
        }
        Durability::Later(stored) => {
            pending.wait = CallWait::Stored(stored, outcome);
            node.pending.push(pending);
        }
    }
}

/// Answers a write with a stored decision, or confirms its refusal.
fn finish(world: &mut World, number: usize, mut pending: PendingCall, outcome: Result<Answer, ApiError>) {
    match outcome {
        Ok(Answer::Resource(resource)) => reply(world, number, pending.call, NodeReply::Version(resource.version)),
        Ok(_) => {}
        Err(_) if pending.confirmed || world.bug == Some(Bug::LocalRefusal) => {
            reply(world, number, pending.call, NodeReply::Refused);
        }
        Err(_) => {
            pending.confirmed = true;
            pending.wait = CallWait::Head(world.nodes[number].replica.wait_for_head());
            world.nodes[number].pending.push(pending);
        }
    }
}

fn reply(world: &mut World, number: usize, call: u64, reply: NodeReply) {
    let _ = number;
    let delay = world.draw.between(1, 4);
    world.after(delay, move |world| world.answer(call, reply));
}

/// Does what the worker and the waiting writers do after every step.
fn advance(world: &mut World, number: usize) {
    follow_changes(world, number);
    loop {
        let mut ended = Vec::new();
        let node = &mut world.nodes[number];
        let mut left = Vec::new();
        for mut pending in std::mem::take(&mut node.pending) {
            let end = match &mut pending.wait {
                CallWait::Head(wait) => wait.try_recv().map(|()| None),
                CallWait::Stored(wait, _) => wait.try_recv().map(Some),
            };
            match end {
                Err(TryRecvError::Empty) => left.push(pending),
                Err(TryRecvError::Closed) => {}
                Ok(end) => ended.push((pending, end)),
            }
        }
        node.pending = left;
        if ended.is_empty() {
            break;
        }
        for (pending, end) in ended {
            go_on(world, number, pending, end);
        }
    }
    let node = &mut world.nodes[number];
    if node.replica.needs_snapshot() {
        send(world, number, &LogRequest::LoadSnapshot);
    }
    let node = &mut world.nodes[number];
    if node.replica.has_waiting_readers() && world.bug == Some(Bug::JoinedBarrier) {
        node.replica.join_running_read();
    }
    if node.replica.has_waiting_readers() && node.reading.is_none() {
        begin_read(world, number);
    }
    let node = &mut world.nodes[number];
    let clock = SignedDuration::from_millis(i64::try_from(world.now + node.skew).unwrap());
    if let Some(entry) = node.replica.next_entry(Timestamp::UNIX_EPOCH + clock) {
        append_again(world, number, entry);
    }
}

fn go_on(world: &mut World, number: usize, pending: PendingCall, end: Option<WriteEnd>) {
    let PendingCall { call, request, confirmed, wait } = pending;
    match (wait, end) {
        (CallWait::Head(_), _) if request.write.is_none() => {
            let version = world.nodes[number].replica.stored().find(&path(request.key)).unwrap().version;
            reply(world, number, call, NodeReply::Version(version));
        }
        (CallWait::Head(_), _) | (CallWait::Stored(..), Some(WriteEnd::DecideAgain)) => {
            decide(world, number, PendingCall { call, request, confirmed, wait: nothing() });
        }
        (CallWait::Stored(_, outcome), Some(WriteEnd::Stored)) => {
            finish(world, number, PendingCall { call, request, confirmed, wait: nothing() }, outcome);
        }
        (CallWait::Stored(..), Some(WriteEnd::NotStored)) if world.bug == Some(Bug::NewEntryAfterTimeout) => {
            decide(world, number, PendingCall { call, request, confirmed, wait: nothing() });
        }
        (CallWait::Stored(..), Some(WriteEnd::NotStored)) => reply(world, number, call, NodeReply::NotStored),
        (CallWait::Stored(..), Some(WriteEnd::Unknown) | None) => reply(world, number, call, NodeReply::Unknown),
    }
}

/// Followers see every version once, in order.
fn follow_changes(world: &mut World, number: usize) {
    let node = &mut world.nodes[number];
    let mut changes = Vec::new();
    node.replica.publish(|applied| changes.push(applied));
    for applied in changes {
        let (name, version) = (applied.change.path.to_string(), applied.change.version);
        match node.versions.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) if version != *known + 1 => {
                let text = format!("a follower of replica {number} sees {name} go from {known} to {version}");
                world.violations.push(text);
                return;
            }
            Some((_, known)) => *known = version,
            None => node.versions.push((name, version)),
        }
    }
}
