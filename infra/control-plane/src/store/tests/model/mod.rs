//! A model of several replicas and a hostile network, in virtual time: requests and answers are lost, late and doubled,
//! replicas pause and crash, clocks differ, and old entries are emptied. Each run is a seed.
//!
//! The replicas are the real ones. The model checks that acknowledged writes are in the log exactly once, that versions
//! rise by one, that reads contain all writes that were acknowledged before them, that refusals were true during their request, and
//! that all replicas end equal. Known mistakes are planted, and each of them has to be found.

mod network;
mod node;

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use mesh::name::ResourcePath;

use crate::state::tests::spec;
use crate::state::{Action, ClientToken, Write};
use network::ModelLog;
use node::{Node, NodeReply};

/// A mistake that a replicated log can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    NewEntryAfterTimeout,
    WriterReused,
    TrimmingDeletes,
    JoinedBarrier,
    EarlyAnswer,
    LocalRead,
    LocalRefusal,
}

/// Random numbers (`SplitMix64`).
#[derive(Debug)]
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, first: u64, end: u64) -> u64 {
        first + self.below(end - first)
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

/// Virtual time in milliseconds.
type Time = u64;

/// When the network becomes reliable, and clients stop.
const CALM: Time = 3000;

/// When a run ends.
const END: Time = CALM + 5000;

/// How long a client waits for an answer.
const CLIENT_TIMEOUT: Time = 400;

type Step = Box<dyn FnOnce(&mut World)>;

struct Scheduled(Time, u64, Step);

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.0, other.1).cmp(&(self.0, self.1))
    }
}

/// A request of a client.
#[derive(Debug, Clone)]
struct Request {
    key: usize,
    /// The number of the write, which its stamp contains; `None` for a read.
    write: Option<(u64, Write)>,
}

/// A request that a client waits for.
#[derive(Debug)]
struct Call {
    client: usize,
    request: Request,
    /// The version that was acknowledged before the request.
    acknowledged: u64,
    /// The head of the log at the request.
    head: usize,
}

struct World {
    bug: Option<Bug>,
    draw: Draw,
    now: Time,
    queue: BinaryHeap<Scheduled>,
    steps: u64,
    log: ModelLog,
    nodes: Vec<Node>,
    calls: HashMap<u64, Call>,
    next_call: u64,
    writes: u64,
    acknowledged: BTreeMap<u64, (usize, u64)>,
    refused: Vec<u64>,
    highest: [u64; KEYS],
    violations: Vec<String>,
    answers: u64,
}

const KEYS: usize = 2;
const REPLICAS: usize = 3;
const CLIENTS: usize = 5;

fn path(key: usize) -> ResourcePath {
    ResourcePath::parse(&format!("mesh/m{key}")).unwrap()
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut draw = Draw(seed);
        let log = ModelLog::new(bug);
        let nodes = (0..REPLICAS).map(|number| Node::new(number, &log, draw.between(0, 2000))).collect();
        let mut world = Self {
            bug,
            draw,
            now: 0,
            queue: BinaryHeap::new(),
            steps: 0,
            log,
            nodes,
            calls: HashMap::new(),
            next_call: 0,
            writes: 0,
            acknowledged: BTreeMap::new(),
            refused: Vec::new(),
            highest: [1; KEYS],
            violations: Vec::new(),
            answers: 0,
        };
        for number in 0..REPLICAS {
            let first = world.draw.between(1, 60);
            world.after(first, move |world| node::poll(world, number, 0));
        }
        for client in 0..CLIENTS {
            let first = world.draw.below(50);
            world.after(first, move |world| world.begin(client, None));
        }
        world.after(150, Self::disturb);
        world.after(300, Self::trim);
        world
    }

    fn after(&mut self, delay: Time, step: impl FnOnce(&mut Self) + 'static) {
        self.steps += 1;
        self.queue.push(Scheduled(self.now + delay, self.steps, Box::new(step)));
    }

    fn is_calm(&self) -> bool {
        self.now > CALM
    }

    /// A client's next request, or the repetition of one without an answer.
    fn begin(&mut self, client: usize, repeated: Option<Request>) {
        let request = match repeated {
            Some(request) => request,
            None if self.is_calm() => return,
            None => self.new_request(),
        };
        let call = self.next_call;
        self.next_call += 1;
        let (acknowledged, head) = (self.highest[request.key], self.log.history.len() - 1);
        self.calls.insert(call, Call { client, request: request.clone(), acknowledged, head });
        let node = usize::try_from(self.draw.below(REPLICAS as u64)).unwrap();
        let delay = self.draw.between(1, 4);
        self.after(delay, move |world| node::request(world, node, call, request));
        self.after(CLIENT_TIMEOUT, move |world| world.answer(call, NodeReply::Unknown));
    }

    fn new_request(&mut self) -> Request {
        let key = usize::try_from(self.draw.below(KEYS as u64)).unwrap();
        if self.draw.percent(35) {
            return Request { key, write: None };
        }
        self.writes += 1;
        let number = self.writes;
        let if_version = self.draw.percent(60).then(|| self.log.history.last().unwrap()[key]);
        let token = self.draw.percent(60).then(|| ClientToken::parse(&format!("t{number}")).unwrap());
        let variant = u8::try_from(number % 3).unwrap();
        let action = Action::Update { spec: Some(spec(&path(key), variant)) };
        Request { key, write: Some((number, Write { path: path(key), action, if_version, token })) }
    }

    fn answer(&mut self, call: u64, reply: NodeReply) {
        let Some(Call { client, request, acknowledged, head }) = self.calls.remove(&call) else { return };
        let key = request.key;
        self.answers += 1;
        match (&request.write, reply) {
            (None, NodeReply::Version(version)) => {
                if version < acknowledged {
                    self.violation(&format!(
                        "a read of m{key} returned {version}, but {acknowledged} was acknowledged"
                    ));
                }
                self.highest[key] = self.highest[key].max(version);
            }
            (Some((number, _)), NodeReply::Version(version)) => {
                self.acknowledged.insert(*number, (key, version));
                self.highest[key] = self.highest[key].max(version);
            }
            (Some((number, write)), NodeReply::Refused) => {
                let since = &self.log.history[head..];
                if since.iter().all(|versions| write.if_version == Some(versions[key])) {
                    self.violation(&format!("write {number} was refused, but its version was right all the time"));
                }
            }
            (Some((number, _)), NodeReply::NotStored) => self.refused.push(*number),
            (Some((_, write)), NodeReply::Unknown) if write.token.is_some() => {
                let delay = self.draw.between(1, 30);
                self.after(delay, move |world| world.begin(client, Some(request)));
                return;
            }
            (_, NodeReply::Unknown | NodeReply::NotStored | NodeReply::Refused) => {}
        }
        let delay = self.draw.between(5, 60);
        self.after(delay, move |world| world.begin(client, None));
    }

    fn violation(&mut self, text: &str) {
        self.violations.push(format!("at {}: {text}", self.now));
    }

    /// Pauses or kills a replica.
    fn disturb(&mut self) {
        if self.is_calm() {
            return;
        }
        let number = usize::try_from(self.draw.below(REPLICAS as u64)).unwrap();
        if self.draw.percent(50) {
            let pause = [30, 200, 900, 2500][usize::try_from(self.draw.below(4)).unwrap()];
            node::pause(self, number, pause);
        } else {
            node::crash(self, number);
        }
        let next = self.draw.between(100, 700);
        self.after(next, Self::disturb);
    }

    fn trim(&mut self) {
        self.log.trim();
        if !self.is_calm() {
            let next = self.draw.between(150, 400);
            self.after(next, Self::trim);
        }
    }

    fn run(mut self) -> Outcome {
        while let Some(Scheduled(time, _, step)) = self.queue.pop() {
            if time > END || !self.violations.is_empty() {
                break;
            }
            self.now = time;
            step(&mut self);
            self.violations.append(&mut self.log.violations);
        }
        if self.violations.is_empty() {
            self.check_end();
        }
        Outcome {
            acknowledged: self.acknowledged.len(),
            entries: self.log.head(),
            answers: self.answers,
            violation: self.violations.into_iter().next(),
        }
    }

    fn check_end(&mut self) {
        let count = |number: &u64| self.log.applied.get(number).copied().unwrap_or(0);
        let lost = self.acknowledged.keys().find(|number| count(number) != 1);
        if let Some(number) = lost {
            let text = format!("acknowledged write {number} is in the log {} times", count(number));
            return self.violation(&text);
        }
        if let Some(number) = self.refused.iter().find(|number| count(number) != 0) {
            let text = format!("write {number} was reported as not stored, but is in the log");
            return self.violation(&text);
        }
        if let Some((number, count)) = self.log.applied.iter().find(|(_, count)| **count > 1) {
            let text = format!("write {number} was applied {count} times");
            return self.violation(&text);
        }
        let (head, end) = (self.log.head(), self.log.state().clone());
        for node in &self.nodes {
            if let Some(problem) = node.differs(head, &end) {
                return self.violation(&problem);
            }
        }
    }
}

#[derive(Debug)]
struct Outcome {
    acknowledged: usize,
    entries: u64,
    answers: u64,
    violation: Option<String>,
}

/// Runs the model for these seeds, and returns how many runs violate a rule, with the first violation.
fn violations(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> (usize, Option<String>) {
    let (mut found, mut first) = (0, None);
    let mut total = (0, 0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let outcome = World::new(seed, bug).run();
        total = (total.0 + outcome.acknowledged, total.1 + outcome.entries, total.2 + outcome.answers);
        if let Some(violation) = outcome.violation {
            found += 1;
            first.get_or_insert_with(|| format!("seed {seed}, {violation}"));
            if bug.is_some() {
                break;
            }
        }
    }
    println!("{bug:?}: {count} runs, {} acknowledged writes, {} entries, {} answers", total.0, total.1, total.2);
    (found, first)
}

/// The number of runs: `MODEL_RUNS`, or few for a quick answer.
fn runs(default: u64) -> u64 {
    std::env::var("MODEL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(default)
}

#[test]
fn replicas_lose_no_write_and_apply_none_twice() {
    assert_eq!(violations(0..runs(100), None), (0, None));
}

#[test]
#[ignore = "long: 10,000 runs take minutes"]
fn replicas_lose_no_write_in_ten_thousand_runs() {
    assert_eq!(violations(0..10_000, None), (0, None));
}

#[test]
fn every_planted_mistake_is_found() {
    let bugs = [
        Bug::NewEntryAfterTimeout,
        Bug::WriterReused,
        Bug::TrimmingDeletes,
        Bug::JoinedBarrier,
        Bug::EarlyAnswer,
        Bug::LocalRead,
        Bug::LocalRefusal,
    ];
    for bug in bugs {
        let (found, first) = violations(0..3000, Some(bug));
        assert!(found > 0, "{bug:?} is not found");
        println!("{bug:?}: {}", first.unwrap_or_default());
    }
}
