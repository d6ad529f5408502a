//! One fault of every class at the calls of a scheduled run: the stored state of the mesh is the same.

use jiff::SignedDuration;
use meshwarden_tests::fault_suite::ShopFaultSuite;

const SUITE: ShopFaultSuite = ShopFaultSuite {
    function: "compliance-sweep",
    binary: env!("CARGO_BIN_EXE_compliance-sweep"),
    event: "schedule",
    every: SignedDuration::from_hours(6),
    many_runs: 8,
};

meshwarden_tests::fault_suite_tests!(SUITE);
