//! Evidence about proxies, merged over all replicas: the connected proxies, and the versions that they acknowledged.
//!
//! ```text
//!  streams of this replica --> facts --> chunks --> registry of the shared store
//!                                                      |
//!  facts of this replica, and of every other one <-----+
//!            |
//!            +--> gate: merge --> connected instances, unknown ones --> GET /proxies
//! ```
//!
//! - `facts` are what a replica reports about its streams, `chunks` their stored form.
//! - `gate` decides what may be concluded from the reports of all replicas.
//!
//! This module does no I/O, and never counts a proxy without a report as one that has acknowledged something.

mod chunks;
mod facts;
mod gate;
mod left;

pub(crate) use chunks::{decode, encode};
pub(crate) use facts::{InstanceFacts, LeftInstance, NackFacts, ReplicaFacts, SecretFacts, TypeFacts};
pub(crate) use gate::{GateLimits, MergedEvidence, ReplicaReport, Unknown, UnknownReason, merge};
pub(crate) use left::LeftInstances;
