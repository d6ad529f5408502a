//! One fault of every class at the calls of a scheduled run: the stored state of the mesh is the same.

use jiff::SignedDuration;
use meshwarden_tests::fault_suite::ShopFaultSuite;

const SUITE: ShopFaultSuite = ShopFaultSuite {
    function: "change-audit",
    binary: env!("CARGO_BIN_EXE_change-audit"),
    event: "tick-rule",
    every: SignedDuration::from_hours(2),
    many_runs: 24,
};

meshwarden_tests::fault_suite_tests!(SUITE);
