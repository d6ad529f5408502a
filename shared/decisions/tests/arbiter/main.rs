//! The arbiter as a whole: failover, a rollout, a drill, an operator and an infrastructure-as-code role write one route in
//! random order, and are killed, delayed and refused. The invariants of decision 0031 hold after each step.
//!
//! `ARBITER_CASES` sets the number of random sequences, and `ARBITER_SEED` the seed of the first one.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the number of sequences is a variable of the environment")]
#![expect(
    clippy::needless_pass_by_value,
    clippy::match_same_arms,
    reason = "a disturbance is used once, and each state has its arm"
)]

mod actors;
mod checks;
mod episodes;
mod execution;
mod random;
mod route;

use random::{Defect, Sequence};

/// The number of sequences in CI.
const CASES: u64 = 150;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn invariants_hold_over_random_sequences() {
    let first = number("ARBITER_SEED", 20_261_130);
    let seeds = first..first + number("ARBITER_CASES", CASES);
    let violations = seeds.filter_map(|seed| {
        let violation = Sequence::new(seed, Defect::None).run().err()?;
        Some(format!("seed {seed}: {violation}"))
    });
    let violations: Vec<String> = violations.take(5).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n\n"));
}

/// The invariants can fail: each of these defects is found within a few hundred sequences.
#[test]
fn planted_defects_are_found() {
    let defects = [
        Defect::RollbackToPresentSplit,
        Defect::DrillIgnoresHold,
        Defect::StepIgnoresGate,
        Defect::DeadlineIgnored,
        Defect::NestedRestorePoint,
    ];
    for defect in defects {
        let found = (0..400).find_map(|seed| Some((seed, Sequence::new(seed, defect).run().err()?)));
        let (seed, violation) = found.unwrap_or_else(|| panic!("{defect:?} violates no invariant"));
        println!("{defect:?} in sequence {seed}: {}", violation.lines().next().unwrap());
    }
}
