//! Several replicas on one store.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints what it skips"
)]

mod cluster;
mod conformance;
mod contract;
mod envoys;
mod etcd;
mod etcd_tls;
mod events;
mod evidence;
mod kills;
mod ministack;
mod refusals;
mod revocations;
mod snapshots;
mod stores;
mod upgrade;
