//! No write that the API accepts takes a call from 200 to anything else, unless the write itself says that the call is to
//! lead nowhere.
//!
//! ```text
//!   random mesh ──▶ probe every call ──▶ random write ──▶ accepted? ──▶ probe every call ──▶ next write
//! ```
//!
//! One control plane and three Envoys (a client, a server, a gateway) serve all sequences; between two sequences the mesh
//! is taken down and another one is written. Nodes without a proxy of their own are applications at the ports of their
//! proxies.

mod mesh;
mod playground;
mod rng;
mod specs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngSeed};
use serde_json::Value;

use mesh::{Call, Specs, Written, mesh_of};
use playground::Playground;
use rng::Rng;

/// Accepted writes in a sequence.
const WRITES: usize = 6;
/// Attempts at them.
const ATTEMPTS: usize = 60;
/// How long a call may fail after a write, while Envoy warms up what is new.
const SETTLING: Duration = Duration::from_secs(3);
/// Violations after which a run ends.
const ENOUGH: usize = 4;

/// What a run did.
#[derive(Debug, Default)]
struct Counts {
    sequences: usize,
    accepted: BTreeMap<String, usize>,
    refused: usize,
    calls: usize,
    ended: usize,
}

/// A write that was accepted and broke calls.
struct Violation {
    seed: u64,
    write: String,
    before: Option<Value>,
    after: Option<Value>,
    broken: BTreeMap<Call, u16>,
    mesh: Specs,
    findings: String,
}

impl Violation {
    fn shown(&self) -> String {
        let mut text = String::new();
        writeln!(text, "with WRITES_SEED={} the write of {:?} broke:", self.seed, self.write).unwrap();
        for (call, status) in self.broken.iter().take(4) {
            writeln!(text, "  {call:?}: {status}").unwrap();
        }
        let shown = |spec: &Option<Value>| spec.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        writeln!(text, "from {}\nto   {}\nin", shown(&self.before), shown(&self.after)).unwrap();
        for (path, spec) in &self.mesh {
            writeln!(text, "  {path}: {spec}").unwrap();
        }
        writeln!(text, "findings: {}", self.findings).unwrap();
        text
    }
}

#[tokio::test]
async fn no_accepted_write_breaks_a_call() {
    run(200).await;
}

#[tokio::test]
#[ignore = "long: two thousand sequences; `cargo xtask test --long` runs it"]
async fn no_accepted_write_breaks_a_call_in_thousands_of_sequences() {
    run(2000).await;
}

/// Plays so many sequences: those of `WRITES_SEED` alone, or those that follow from the seed of all random tests.
async fn run(sequences: u64) {
    let Some(mut playground) = Playground::start().await else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = match Config::default().rng_seed {
        RngSeed::Fixed(seed) => seed.wrapping_mul(1_000_003),
        RngSeed::Random => u64::from(std::process::id()).wrapping_mul(1_000_003),
    };
    let seeds = match number("WRITES_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + number("WRITES_SEQUENCES").unwrap_or(sequences),
    };
    let began = Instant::now();
    let mut counts = Counts::default();
    let mut violations = Vec::new();
    for seed in seeds {
        violations.extend(sequence(&mut playground, seed, &mut counts).await);
        if violations.len() >= ENOUGH {
            break;
        }
    }
    println!("{counts:?} in {:?}", began.elapsed());
    let shown: Vec<String> = violations.iter().map(Violation::shown).collect();
    assert!(violations.is_empty(), "{}", shown.join("\n"));
    assert!(counts.calls > counts.sequences, "hardly any call was answered: {counts:?}");
}

async fn sequence(playground: &mut Playground, seed: u64, counts: &mut Counts) -> Option<Violation> {
    let mut rng = Rng::new(seed);
    playground.take_down().await;
    for path in specs::initial(&mut rng) {
        let spec = specs::spec(&mut rng, &playground.specs, &path);
        playground.write(&path, Some(spec)).await;
    }
    playground.settle().await;
    let mut answered = playground.probe().await;
    counts.sequences += 1;
    let mut accepted = 0;
    for _ in 0..ATTEMPTS {
        if accepted == WRITES {
            break;
        }
        let path = specs::path(&mut rng);
        let before = playground.specs.clone();
        let former = before.get(&path).cloned();
        let spec = match &former {
            Some(_) if specs::may_be_deleted(&path) && rng.percent(15) => None,
            Some(_) if rng.percent(50) => Some(specs::amended(&mut rng, &before, &path)),
            Some(_) | None => Some(specs::spec(&mut rng, &before, &path)),
        };
        if spec == former {
            continue;
        }
        if !playground.write(&path, spec.clone()).await {
            counts.refused += 1;
            continue;
        }
        accepted += 1;
        *counts.accepted.entry(specs::kind(&path).to_owned()).or_default() += 1;
        playground.settle().await;
        let (was, is) = (mesh_of(&before), mesh_of(&playground.specs));
        let written = Written { path: &path, before: &was, after: &is };
        let deadline = Instant::now() + SETTLING;
        let (now, broken) = loop {
            let now = playground.probe().await;
            let status = |call: &Call| now.get(call).copied().unwrap_or_default();
            let worked = || answered.iter().filter(|(_, status)| **status == 200).map(|(call, _)| call);
            let failing = worked().filter(|call| status(call) != 200 && !written.ends(call));
            let broken: BTreeMap<Call, u16> = failing.map(|call| (call.clone(), status(call))).collect();
            if broken.is_empty() || Instant::now() > deadline {
                counts.calls += worked().count();
                counts.ended += worked().filter(|call| status(call) != 200).count() - broken.len();
                break (now, broken);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        if !broken.is_empty() {
            let findings = playground.findings().await;
            return Some(Violation { seed, write: path, before: former, after: spec, broken, mesh: before, findings });
        }
        answered = now;
    }
    None
}
