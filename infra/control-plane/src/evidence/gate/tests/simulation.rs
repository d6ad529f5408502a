//! A simulation of the gate: proxies move between replicas that lag, pause, crash or are cut off from the store, while a
//! reader evaluates the gate. Each planted mistake of the design has to be found.

mod focus;
mod reader;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use jiff::Timestamp;
use tokio::time::Instant;

use super::super::super::facts::SecretFacts;
use super::super::super::left::LeftInstances;
use super::*;
use focus::Focus;

/// Milliseconds since the start.
type Time = u64;

const SILENT: Time = 5_000;
const LINGER: Time = 60_000;
const SERVE_STALE: Time = 20_000;
/// How long a proxy keeps a connection to a replica that stands still.
const KEEPALIVE: Time = 8_000;
const END: Time = 400_000;
const PROXIES: usize = 6;
const REPLICAS: u64 = 3;

/// A mistake in the gate or in a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// A replica reports no instances that left.
    NoLeft,
    /// A replica behind the head counts.
    NoSequence,
    /// A silent replica is dropped.
    SilentDropped,
    /// A replica without the store serves for ever.
    EndlessStale,
    /// A silent replica is waited for without the time for which it serves.
    ShortHold,
}

/// The version of a proxy's trust. The gate waits for the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Nothing,
    Old,
    New,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    proxy: usize,
    has: Trust,
    since: Time,
}

#[derive(Debug)]
struct SimulatedReplica {
    sequence: Sequence,
    streams: BTreeMap<usize, Stream>,
    left: LeftInstances,
    paused_until: Time,
    cut_until: Time,
    /// The last contact with the store.
    contact: Time,
    /// The last stored report.
    reported: Time,
    dead: bool,
    beat: u64,
    /// The percentage of polls that reach the head.
    diligence: u64,
}

#[derive(Debug)]
struct SimulatedProxy {
    has: Trust,
    replica: Option<usize>,
    since: Time,
    /// The sequence of the replica when the stream was opened.
    opened_at: Sequence,
    lost: Time,
    /// It reached no replica for so long that the gate does not wait for it.
    is_excluded: bool,
}

#[derive(Debug, Clone)]
struct StoredReport {
    beat: u64,
    sequence: Sequence,
    facts: Arc<ReplicaFacts>,
}

#[derive(Debug, Clone)]
enum Event {
    Commit,
    NewReplica,
    Tick(usize),
    Write(usize, StoredReport),
    Connect(usize),
    Push(usize, usize),
    /// A replica notices the end of a stream that was opened at this time.
    Notice(usize, usize, Time),
    /// A proxy leaves a replica that stands still.
    Away(usize, usize, Time),
    Flap,
    Chaos,
    Evaluate,
}

struct Simulation {
    random: u64,
    focus: Focus,
    /// The replica that was cut off at the commit of a focused run.
    cut: Option<usize>,
    bug: Option<Bug>,
    now: Time,
    count: u64,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    events: BTreeMap<u64, Event>,
    head: Sequence,
    replicas: Vec<SimulatedReplica>,
    proxies: Vec<SimulatedProxy>,
    stored: BTreeMap<usize, StoredReport>,
    seen: BTreeMap<usize, (u64, Time)>,
    start: Instant,
    opened: bool,
    evaluations: u64,
    committed_at: Time,
}

/// What a run found.
struct Found {
    opened: bool,
    evaluations: u64,
    violation: Option<String>,
}

impl Simulation {
    fn run(seed: u64, bug: Option<Bug>, focus: Focus) -> Found {
        let mut simulation = Self {
            focus,
            cut: None,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            bug,
            now: 0,
            count: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            head: 0,
            replicas: Vec::new(),
            proxies: Vec::new(),
            stored: BTreeMap::new(),
            seen: BTreeMap::new(),
            start: Instant::now(),
            opened: false,
            evaluations: 0,
            committed_at: 0,
        };
        for _ in 0..REPLICAS {
            simulation.new_replica();
        }
        for proxy in 0..PROXIES {
            simulation.proxies.push(SimulatedProxy {
                has: Trust::Nothing,
                replica: None,
                since: 0,
                opened_at: 0,
                lost: 0,
                is_excluded: false,
            });
            let delay = simulation.between(0, 2_000);
            simulation.after(delay, Event::Connect(proxy));
        }
        simulation.committed_at = simulation.between(20_000, 60_000);
        let committed_at = simulation.committed_at;
        simulation.after(committed_at, Event::Commit);
        for (delay, event) in [(1_000, Event::Chaos), (2_000, Event::Flap), (5_000, Event::Evaluate)] {
            simulation.after(delay, event);
        }
        let mut violation = None;
        while let Some(Reverse((time, number))) = simulation.queue.pop() {
            if time > END || violation.is_some() {
                break;
            }
            simulation.now = time;
            if let Some(event) = simulation.events.remove(&number) {
                violation = simulation.handle(event);
            }
        }
        Found { opened: simulation.opened, evaluations: simulation.evaluations, violation }
    }

    fn next(&mut self) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.next()).unwrap() % choices.len()]
    }

    fn after(&mut self, delay: Time, event: Event) {
        self.count += 1;
        self.events.insert(self.count, event);
        self.queue.push(Reverse((self.now + delay, self.count)));
    }

    fn reconnect(&mut self, proxy: usize, least: Time, most: Time) {
        self.proxies[proxy].replica = None;
        self.proxies[proxy].lost = self.now;
        let delay = self.between(least, most);
        self.after(delay, Event::Connect(proxy));
    }

    fn handle(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Commit => self.commit(),
            Event::NewReplica => self.new_replica(),
            Event::Tick(replica) => self.tick(replica),
            Event::Write(replica, report) => self.write(replica, report),
            Event::Connect(proxy) => self.connect(proxy),
            Event::Push(replica, proxy) => self.push(replica, proxy),
            Event::Notice(replica, proxy, since) => self.notice(replica, proxy, since),
            Event::Away(replica, proxy, since) => {
                let state = &self.proxies[proxy];
                if state.replica == Some(replica)
                    && state.since == since
                    && self.now < self.replicas[replica].paused_until
                {
                    self.reconnect(proxy, 200, 5_000);
                }
            }
            Event::Flap => self.flap(),
            Event::Chaos => self.chaos(),
            Event::Evaluate => return self.evaluate(),
        }
        None
    }

    fn new_replica(&mut self) {
        let diligence = self.one_of(&[90, 15, 15]);
        let number = self.replicas.len();
        self.replicas.push(SimulatedReplica {
            sequence: self.head,
            streams: BTreeMap::new(),
            left: LeftInstances::with_linger(Duration::from_millis(LINGER)),
            paused_until: 0,
            cut_until: 0,
            contact: self.now,
            reported: self.now,
            dead: false,
            beat: 0,
            diligence,
        });
        // It registers before it serves.
        self.stored.insert(number, StoredReport { beat: 0, sequence: self.head, facts: Arc::default() });
        self.after(200, Event::Tick(number));
    }

    fn tick(&mut self, number: usize) {
        if self.replicas[number].dead {
            return;
        }
        if self.now < self.replicas[number].paused_until {
            let delay = self.replicas[number].paused_until - self.now + 10;
            return self.after(delay, Event::Tick(number));
        }
        if self.now >= self.replicas[number].cut_until {
            self.exchange(number);
        } else {
            self.end_stale_streams(number);
        }
        let delay = self.between(300, 1_200);
        self.after(delay, Event::Tick(number));
    }

    /// Polls the log, sends the new entries, and reports.
    fn exchange(&mut self, number: usize) {
        let (now, head) = (self.now, self.head);
        self.replicas[number].contact = now;
        let diligence = self.replicas[number].diligence;
        if self.percent(diligence) && self.replicas[number].sequence < head {
            self.replicas[number].sequence = head;
            for proxy in self.replicas[number].streams.keys().copied().collect::<Vec<_>>() {
                let delay = self.between(50, 3_000);
                self.after(delay, Event::Push(number, proxy));
            }
        }
        if self.percent(80) {
            let replica = &mut self.replicas[number];
            replica.beat += 1;
            let instances = replica.streams.values().map(|stream| instance_facts(*stream)).collect();
            let mut facts = ReplicaFacts { instances, ..ReplicaFacts::default() };
            if self.bug != Some(Bug::NoLeft) {
                facts.left = replica.left.list(self.start + Duration::from_millis(now));
            }
            let report = StoredReport { beat: replica.beat, sequence: replica.sequence, facts: Arc::new(facts) };
            let delay = self.between(0, 500);
            self.after(delay, Event::Write(number, report));
        }
    }

    fn end_stale_streams(&mut self, number: usize) {
        let replica = &self.replicas[number];
        let stale = self.now - replica.contact;
        if stale <= 3_000 {
            return;
        }
        let is_expired = stale > SERVE_STALE && self.bug != Some(Bug::EndlessStale);
        let ended = replica.streams.values().filter(|stream| self.now - stream.since > 10_000 || is_expired);
        for proxy in ended.map(|stream| stream.proxy).collect::<Vec<_>>() {
            self.leave(number, proxy);
            if self.proxies[proxy].replica == Some(number) {
                self.reconnect(proxy, 200, 5_000);
            }
        }
    }

    fn write(&mut self, number: usize, report: StoredReport) {
        let replica = &self.replicas[number];
        if replica.dead || self.now < replica.paused_until || self.now < replica.cut_until {
            return;
        }
        if self.stored[&number].beat < report.beat {
            self.replicas[number].reported = self.now;
            self.stored.insert(number, report);
        }
    }

    fn connect(&mut self, proxy: usize) {
        if self.proxies[proxy].replica.is_some() {
            return;
        }
        let live: Vec<usize> = (0..self.replicas.len()).filter(|number| !self.replicas[*number].dead).collect();
        if live.is_empty() {
            return self.after(1_000, Event::Connect(proxy));
        }
        let cut = self.focused().filter(|_| self.now < self.committed_at + SERVE_STALE);
        let number = match cut.filter(|_| self.percent(50)) {
            Some(cut) => cut,
            None => self.one_of(&live),
        };
        let replica = &self.replicas[number];
        let is_cut = self.now < replica.cut_until;
        let stale = self.now - replica.contact;
        let has = self.proxies[proxy].has;
        let present = if replica.sequence >= 1 { Trust::New } else { Trust::Old };
        let is_expired = self.is_expired(number, is_cut && stale > SERVE_STALE) && self.bug != Some(Bug::EndlessStale);
        let would_change = is_cut && stale > 3_000 && has != Trust::Nothing && has != present;
        if self.now < replica.paused_until || is_expired || would_change {
            let delay = self.between(500, 3_000);
            return self.after(delay, Event::Connect(proxy));
        }
        let since = self.now;
        let client = &mut self.proxies[proxy];
        client.is_excluded |= has == Trust::Old && since - client.lost >= LINGER - 2_000;
        (client.replica, client.since, client.opened_at) = (Some(number), since, replica.sequence);
        self.replicas[number].streams.insert(proxy, Stream { proxy, has, since });
        let delay = self.between(20, 500);
        self.after(delay, Event::Push(number, proxy));
    }

    fn push(&mut self, number: usize, proxy: usize) {
        let replica = &mut self.replicas[number];
        if replica.dead || self.now < replica.paused_until || self.proxies[proxy].replica != Some(number) {
            return;
        }
        if let Some(stream) = replica.streams.get_mut(&proxy) {
            let has = &mut self.proxies[proxy].has;
            if replica.sequence >= 1 {
                *has = Trust::New;
                self.proxies[proxy].is_excluded = false;
            } else if *has == Trust::Nothing {
                *has = Trust::Old;
            }
            stream.has = self.proxies[proxy].has;
        }
    }

    fn leave(&mut self, number: usize, proxy: usize) {
        let now = self.now;
        if let Some(stream) = self.replicas[number].streams.remove(&proxy) {
            let left = LeftInstance {
                id: id(proxy),
                instance: proxy.to_string(),
                first: timestamp(stream.since),
                since: timestamp(stream.since),
                at: timestamp(now),
            };
            self.replicas[number].left.add(left, self.start + Duration::from_millis(now));
        }
    }

    fn notice(&mut self, number: usize, proxy: usize, since: Time) {
        let state = &self.proxies[proxy];
        let is_open = state.replica == Some(number) && state.since == since;
        let is_known = self.replicas[number].streams.get(&proxy).is_some_and(|stream| stream.since == since);
        if is_known && !is_open {
            self.leave(number, proxy);
        }
    }

    fn flap(&mut self) {
        if let Some(cut) = self.focused() {
            return self.focused_flap(cut);
        }
        let proxy = usize::try_from(self.next()).unwrap() % PROXIES;
        if let Some(number) = self.proxies[proxy].replica
            && self.percent(50)
        {
            let since = self.proxies[proxy].since;
            if self.percent(40) {
                self.proxies[proxy].has = Trust::Nothing;
            }
            let noticed = self.one_of(&[100, 100, 20_000]);
            self.after(noticed, Event::Notice(number, proxy, since));
            if self.percent(85) {
                self.reconnect(proxy, 200, 5_000);
            } else {
                self.reconnect(proxy, 5_000, LINGER - 2_000);
            }
        }
        let delay = self.between(500, 6_000);
        self.after(delay, Event::Flap);
    }

    fn chaos(&mut self) {
        if self.focused().is_some() {
            let delay = self.between(3_000, 25_000);
            return self.after(delay, Event::Chaos);
        }
        let last = self.replicas.len().saturating_sub(4);
        let number = last + usize::try_from(self.next()).unwrap() % (self.replicas.len() - last);
        let kind = self.next() % 100;
        if !self.replicas[number].dead {
            if kind < 30 {
                let pause = self.one_of(&[2_000, 8_000, 25_000]);
                let until = self.now + pause;
                self.replicas[number].paused_until = self.replicas[number].paused_until.max(until);
                if pause > KEEPALIVE {
                    for stream in self.replicas[number].streams.values().copied().collect::<Vec<_>>() {
                        self.after(KEEPALIVE, Event::Away(number, stream.proxy, stream.since));
                    }
                }
            } else if kind < 60 {
                let cut = self.now + self.one_of(&[2_000, 10_000, 40_000, 120_000]);
                self.replicas[number].cut_until = self.replicas[number].cut_until.max(cut);
            } else if kind < 75 {
                self.replicas[number].dead = true;
                for proxy in self.replicas[number].streams.keys().copied().collect::<Vec<_>>() {
                    if self.proxies[proxy].replica == Some(number) {
                        self.reconnect(proxy, 200, 5_000);
                    }
                }
                let delay = self.between(1_000, 20_000);
                self.after(delay, Event::NewReplica);
            }
        }
        let delay = self.between(3_000, 25_000);
        self.after(delay, Event::Chaos);
    }
}

fn id(proxy: usize) -> String {
    format!("mesh/m/virtualNode/p{proxy}")
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(time).unwrap()).unwrap()
}

fn instance_facts(stream: Stream) -> InstanceFacts {
    let version = match stream.has {
        Trust::Nothing => "",
        Trust::Old => "old",
        Trust::New => "new",
    };
    let trust = SecretFacts { version: version.to_owned(), certificates: None };
    InstanceFacts {
        id: id(stream.proxy),
        instance: stream.proxy.to_string(),
        since: timestamp(stream.since),
        secrets: BTreeMap::from([("trust".to_owned(), trust)]),
        ..instance("", 0)
    }
}
