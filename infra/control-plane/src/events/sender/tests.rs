//! The real sender in virtual time: three replicas, a store and a receiver that lose, delay and repeat, and replicas that
//! are killed and paused. Every event arrives, none is invented, each has one id, and the first deliveries of the events of a
//! resource are in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use ports::{BusEvent, EventBus, PortError, PortErrorKind};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{EventSender, Mistake, TAKEOVER};
use crate::events::batch::LoggedEvent;
use crate::events::{EventReceiver, ReceiverKind};
use crate::metrics::Metrics;
use crate::state::{Realm, Region};
use crate::storage::{
    Appended, Digest, Entry, EntryOrigin, EventCursor, EventCursors, Log, LogError, LogPage, MemoryLog, Sequence,
    Snapshot,
};

/// A generator of random numbers (splitmix64).
#[derive(Debug, Clone)]
struct Random(Arc<Mutex<u64>>);

impl Random {
    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = *state;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % limit
    }
}

/// What can go wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The call has no effect.
    Lost,
    /// The call has its effect, and its answer is lost.
    AnswerLost,
    /// The call has its effect long after its caller gave up.
    Late,
}

/// The connection of one replica to the store and the receiver. While it is frozen, no call begins or ends.
#[derive(Debug, Clone)]
struct Connection {
    log: MemoryLog,
    random: Random,
    frozen: watch::Receiver<bool>,
    faulty: watch::Receiver<bool>,
    received: Arc<Mutex<Vec<BusEvent>>>,
    away: watch::Receiver<bool>,
}

impl Connection {
    async fn thawed(&self) {
        let _ = self.frozen.clone().wait_for(|frozen| !*frozen).await;
    }

    async fn begin(&self) -> Fault {
        self.thawed().await;
        sleep(Duration::from_millis(1 + self.random.below(40))).await;
        self.thawed().await;
        if !*self.faulty.borrow() {
            return Fault::None;
        }
        if self.random.below(40) == 0 {
            sleep(Duration::from_secs(self.random.below(12))).await;
        }
        match self.random.below(20) {
            0 | 1 => Fault::Lost,
            2 | 3 => Fault::AnswerLost,
            4 => Fault::Late,
            _ => Fault::None,
        }
    }

    fn error() -> LogError {
        LogError::unknown("use the store", "a fault of the test")
    }

    fn receive(&self, events: &[BusEvent]) {
        self.received.lock().unwrap().extend(events.iter().cloned());
    }
}

#[async_trait]
impl Log for Connection {
    fn is_shared(&self) -> bool {
        true
    }

    fn waits(&self) -> bool {
        true
    }

    async fn append(&self, entry: &Entry) -> Result<Appended, LogError> {
        self.log.append(entry).await
    }

    async fn read(&self, after: Sequence) -> Result<LogPage, LogError> {
        let fault = self.begin().await;
        let page = self.log.read(after).await;
        if fault == Fault::None { page } else { Err(Self::error()) }
    }

    async fn load_snapshot(&self) -> Result<Snapshot, LogError> {
        self.log.load_snapshot().await
    }

    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(), LogError> {
        self.log.put_snapshot(snapshot).await
    }

    async fn trim(&self, upto: Sequence) -> Result<(), LogError> {
        self.log.trim(upto).await
    }
}

#[async_trait]
impl EventCursors for Connection {
    fn log_id(&self) -> Uuid {
        self.log.log_id()
    }

    async fn cursor(&self, receiver: &str) -> Result<Option<EventCursor>, LogError> {
        let fault = self.begin().await;
        let cursor = self.log.cursor(receiver).await;
        self.thawed().await;
        if fault == Fault::None { cursor } else { Err(Self::error()) }
    }

    async fn put_cursor(&self, receiver: &str, cursor: &EventCursor) -> Result<EventCursor, LogError> {
        let fault = self.begin().await;
        match fault {
            Fault::Lost => return Err(Self::error()),
            Fault::Late => {
                let (late, receiver, cursor) = (self.clone(), receiver.to_owned(), cursor.clone());
                tokio::spawn(async move {
                    sleep(Duration::from_millis(late.random.below(40_000))).await;
                    late.log.put_cursor(&receiver, &cursor).await
                });
                return Err(Self::error());
            }
            Fault::None | Fault::AnswerLost => {}
        }
        let stored = self.log.put_cursor(receiver, cursor).await;
        self.thawed().await;
        if fault == Fault::None { stored } else { Err(Self::error()) }
    }
}

#[async_trait]
impl EventBus for Connection {
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError> {
        let failed = || Err(PortError::new("put events", PortErrorKind::Unavailable, "a fault of the test"));
        let fault = self.begin().await;
        if *self.away.borrow() {
            return failed();
        }
        match fault {
            Fault::Lost => return failed(),
            // EventBridge accepts some events of a call and refuses others.
            Fault::Late => {
                let some: Vec<BusEvent> = events.iter().filter(|_| self.random.below(2) == 0).cloned().collect();
                self.receive(&some);
                return failed();
            }
            Fault::None | Fault::AnswerLost => {}
        }
        self.receive(events);
        self.thawed().await;
        if fault == Fault::None { Ok(()) } else { failed() }
    }
}

/// One replica: its sender, which may be killed, and the switch that freezes it.
struct Replica {
    sender: JoinHandle<()>,
    frozen: watch::Sender<bool>,
    _ending: watch::Sender<bool>,
}

/// A run of the model.
struct Model {
    log: MemoryLog,
    random: Random,
    faulty: watch::Sender<bool>,
    away: watch::Sender<bool>,
    head: watch::Sender<Sequence>,
    received: Arc<Mutex<Vec<BusEvent>>>,
    replicas: Vec<Replica>,
    /// The resource of each event.
    events: Vec<u64>,
    mistake: Option<Mistake>,
    kills: usize,
}

const RESOURCES: u64 = 4;

impl Model {
    async fn start(seed: u64, mistake: Option<Mistake>) -> Self {
        let mut model = Self {
            log: MemoryLog::default(),
            random: Random(Arc::new(Mutex::new(seed))),
            faulty: watch::Sender::new(false),
            away: watch::Sender::new(false),
            head: watch::Sender::new(0),
            received: Arc::default(),
            replicas: Vec::new(),
            events: Vec::new(),
            mistake,
            kills: 0,
        };
        for _ in 0..3 {
            let replica = model.replica().await;
            model.replicas.push(replica);
        }
        model.faulty.send_replace(true);
        model
    }

    async fn replica(&self) -> Replica {
        let (frozen, is_frozen) = watch::channel(false);
        let (ending, ends) = watch::channel(false);
        let connection = Connection {
            log: self.log.clone(),
            random: self.random.clone(),
            frozen: is_frozen,
            faulty: self.faulty.subscribe(),
            received: Arc::clone(&self.received),
            away: self.away.subscribe(),
        };
        let bus: Arc<dyn EventBus> = Arc::new(connection.clone());
        let sender = EventSender {
            receiver: EventReceiver { kind: ReceiverKind::Bus, name: "bus:model".to_owned(), bus },
            log: Arc::new(connection.clone()),
            cursors: Arc::new(connection),
            replica: Uuid::new_v4(),
            realm: Realm::new("123456789012".parse().unwrap(), Region::parse("eu-west-1").unwrap()),
            head: self.head.subscribe(),
            metrics: Metrics::new().events(),
            ends,
            mistake: self.mistake,
        };
        // The cursor exists since the first replica began without faults.
        let _ = sender.begin().await;
        Replica { sender: tokio::spawn(sender.run()), frozen, _ending: ending }
    }

    async fn append(&mut self) {
        let mut events = Vec::new();
        for _ in 0..self.random.below(4) {
            let resource = self.random.below(RESOURCES);
            let detail = json!({ "number": self.events.len(), "resource": resource });
            self.events.push(resource);
            let (resource, detail_type) = (format!("mesh/m{resource}"), "call".to_owned());
            let event = LoggedEvent { resource, detail_type, detail, resources: Vec::new() };
            events.push(serde_json::to_string(&event).unwrap());
        }
        let sequence = self.log.head() + 1;
        let entry = Entry {
            sequence,
            origin: EntryOrigin { writer: Uuid::from_u128(1), number: sequence },
            time: Timestamp::UNIX_EPOCH,
            digest: Digest::default(),
            records: Arc::default(),
            events: events.into(),
        };
        assert_eq!(self.log.append(&entry).await.unwrap(), Appended::Done);
        self.head.send_replace(sequence);
    }

    async fn step(&mut self) {
        let one = usize::try_from(self.random.below(3)).unwrap();
        match self.random.below(16) {
            0 => {
                self.replicas[one].sender.abort();
                self.kills += 1;
            }
            1 | 2 => {
                self.replicas[one].sender.abort();
                self.replicas[one] = self.replica().await;
                self.kills += 1;
            }
            3 => drop(self.replicas[one].frozen.send_replace(true)),
            4 | 5 => drop(self.replicas[one].frozen.send_replace(false)),
            6 if self.random.below(4) == 0 => drop(self.away.send_replace(true)),
            7 => drop(self.away.send_replace(false)),
            _ => self.append().await,
        }
        let pause = if self.random.below(10) == 0 { 20_000 } else { 300 };
        sleep(Duration::from_millis(self.random.below(pause))).await;
    }

    /// Without faults, every event arrives within the time of a takeover and the longest pause of a sender.
    async fn end(&mut self) {
        self.faulty.send_replace(false);
        self.away.send_replace(false);
        for replica in &self.replicas {
            replica.frozen.send_replace(false);
        }
        self.replicas[0].sender.abort();
        self.replicas[0] = self.replica().await;
        let end = Instant::now() + TAKEOVER + Duration::from_mins(2);
        while Instant::now() < end && self.violation().is_some_and(|violation| violation.contains("missing")) {
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// The first broken promise.
    fn violation(&self) -> Option<String> {
        let mut first: BTreeMap<u64, String> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for event in self.received.lock().unwrap().iter() {
            let (number, resource) = (event.detail["number"].as_u64()?, event.detail["resource"].as_u64()?);
            let id = event.detail["eventID"].to_string();
            if self.events.get(usize::try_from(number).unwrap()) != Some(&resource) {
                return Some(format!("event {number} was invented"));
            }
            if let Some(known) = first.insert(number, id.clone()) {
                if known != id {
                    return Some(format!("event {number} has two ids"));
                }
            } else if last.insert(resource, number).is_some_and(|last| last > number) {
                return Some(format!("event {number} overtook a later one"));
            }
        }
        let missing = (0..).zip(&self.events).find(|(number, _)| !first.contains_key(number));
        missing.map(|(number, _)| format!("event {number} is missing"))
    }
}

/// Plays a run. Returns the numbers of events, deliveries and kills, or the first broken promise.
fn play(seed: u64, mistake: Option<Mistake>) -> Result<[usize; 3], String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut model = Model::start(seed, mistake).await;
        for _ in 0..120 {
            model.step().await;
        }
        model.end().await;
        let deliveries = model.received.lock().unwrap().len();
        model.violation().map_or(Ok([model.events.len(), deliveries, model.kills]), Err)
    })
}

fn runs(seeds: u64) {
    let mut sums = [0; 3];
    for seed in 0..seeds {
        let counts = play(seed, None).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    let [events, deliveries, kills] = sums;
    println!("{seeds} runs, {events} events, {deliveries} deliveries, {kills} kills");
    assert!(events > 0 && deliveries > events, "no delivery was repeated");
}

#[test]
fn every_event_arrives_in_order_under_one_id() {
    runs(40);
}

#[test]
#[ignore = "long: 3,000 runs"]
fn every_event_arrives_in_order_under_one_id_in_many_runs() {
    runs(3000);
}

#[test]
fn planted_mistakes_are_found() {
    for (mistake, expected) in [(Mistake::CursorBeforeSend, "missing"), (Mistake::SeveralOfOneResource, "overtook")] {
        let found = (0..200).find_map(|seed| Some((seed, play(seed, Some(mistake)).err()?)));
        let (seed, violation) = found.unwrap_or_else(|| panic!("{mistake:?} is not found"));
        assert!(violation.contains(expected), "{mistake:?}: {violation}");
        println!("{mistake:?} is found by run {seed}: {violation}");
    }
}
