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
mod namespaces;
mod partitions;
mod refusals;
mod revocations;
mod rotation;
mod snapshots;
mod stores;
mod upgrade;
#[expect(dead_code, reason = "the sources of another suite are in the same file")]
#[path = "../xds/vault.rs"]
mod vault;
