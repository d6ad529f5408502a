//! The mesh model and the policy logic: pure, no I/O, no clock.
//!
//! ```text
//!   JSON ──▶ spec, resource ──▶ graph ──▶ traffic, callers, dangling references
//!              │  ▲ validate      │
//!              │                  ├── change ──▶ graph after ──▶ harm: the harms of the change
//!              │                  ├── certificates, edges ──▶ the TLS verdict on each call
//!              │                  ├── tags, egress, policy ──▶ pack ──▶ findings and remediations
//!              │                  ├── audit ──▶ the author and the effects of each change
//!              │                  ▼
//!   alarm ─────┴── policy ──▶ failover ──▶ a decision: a plan, a hold, or no change
//! ```
//!
//! Values are parsed at the edge into types that are always valid: a [`name`] is a valid name, a
//! [`weights::WeightSplit`] is accepted by the API. Members that a reader does not know survive a write.
//!
//! This crate never reads a clock, an environment variable, a file or the network, never draws a random number, never
//! waits, and names no SDK.

pub mod admission;
pub mod alarm;
mod amounts;
pub mod audit;
pub mod certificates;
pub mod change;
pub mod compliance;
mod decision;
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
mod rule_terms;
pub mod spec;
mod split;
pub mod tags;
pub mod tls;
pub mod traffic;
pub mod validate;
pub mod watch;
pub mod weights;
