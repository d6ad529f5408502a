//! Each form that a mesh is written in, read into the one model.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "files are read from beside the tests, and a skipped test says so"
)]

mod cloudformation;
mod corpus;
mod documents;
#[path = "../edits/mod.rs"]
mod edits;
mod fixtures;
mod manifests;
mod round_trip;
mod terraform;
mod writers;
