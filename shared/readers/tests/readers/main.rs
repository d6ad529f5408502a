//! Every form of a mesh, read into one model.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "files are read from the folder of the tests, and a skipped test says so"
)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod cloudformation;
mod corpus;
mod documents;
#[path = "../../../mesh/tests/edits/mod.rs"]
mod edits;
mod faults;
mod fixtures;
mod lines;
mod manifests;
mod memberships;
mod round_trip;
mod stacks;
mod terraform;
mod writers;
