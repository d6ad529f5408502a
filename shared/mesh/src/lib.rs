//! The mesh model and the policy logic: pure, no I/O, no clock.
//!
//! ```text
//!   JSON ──▶ spec, resource ──▶ graph ──▶ traffic, who calls whom, what leads nowhere
//!              │  ▲ validate      │
//!              │                  ├── change ──▶ graph after ──▶ harm: what the change would break
//!              │                  ├── certificates, edges ──▶ how safe each call is
//!              │                  ├── tags, egress, policy ──▶ pack ──▶ findings, and what mends them
//!              │                  ├── audit ──▶ who changed what, and what it broke
//!              │                  ▼
//!   alarm ─────┴── policy ──▶ failover ──▶ a decision: a plan, or a reason to hold
//! ```
//!
//! Values are parsed at the edge and can't be wrong from then on: a [`name`] is a name, a [`weights::WeightSplit`] is
//! one that the API takes. Whatever a reader doesn't know survives it.
//!
//! This crate never reads a clock, an environment variable, a file or the network, never draws a random number, never
//! waits, and names no SDK.

pub mod admission;
pub mod alarm;
pub mod audit;
pub mod certificates;
pub mod change;
pub mod compliance;
pub mod edges;
pub mod egress;
pub mod failover;
pub mod failures;
pub mod graph;
pub mod harm;
mod likeness;
pub mod monitoring;
pub mod name;
pub mod pack;
pub mod policy;
pub mod readers;
pub mod reason_catalogue;
pub mod reason_entry;
pub mod resource;
pub mod rotation;
pub mod spec;
pub mod tags;
pub mod tls;
pub mod traffic;
pub mod validate;
pub mod watch;
pub mod weights;
