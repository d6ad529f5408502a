//! One fault of every class at the calls of a scheduled evaluation: AWS Config receives the same evaluations, and no
//! false one.

use meshwarden_tests::fault_suite::ConfigFaultSuite;

const SUITE: ConfigFaultSuite = ConfigFaultSuite {
    function: "tag-compliance",
    binary: env!("CARGO_BIN_EXE_tag-compliance"),
    policy: "version: 1\ntags: { required: [{ key: team }] }\n",
};

meshwarden_tests::fault_suite_tests!(SUITE);
