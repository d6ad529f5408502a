//! The model of a mesh: pure, no I/O, no clock.
//!
//! ```text
//!   JSON ──▶ spec, resource ──▶ graph ──▶ traffic, callers, dangling references
//!              │  ▲ validate      │
//!              │                  ├── change ──▶ graph after ──▶ harm: the harms of the change
//!              │                  └── certificates, tls
//!   alarm: the facts of an alarm       split: the weights of a route
//! ```
//!
//! Values are parsed at the edge into types that are always valid: a [`name`] is a valid name, a
//! [`split::WeightSplit`] is accepted by the API. Members that a reader does not know survive a write.
//!
//! This crate and those above it (`readers`, `policy`, `decisions`, `rules`) never read a clock, an environment variable,
//! a file or the network, never draw a random number, never wait, and name no SDK.

pub mod alarm;
pub mod amounts;
pub mod certificates;
pub mod change;
pub mod failures;
pub mod graph;
pub mod harm;
pub mod host_port;
pub mod name;
pub mod resource;
pub mod spec;
pub mod split;
pub mod tls;
pub mod traffic;
pub mod validate;
pub mod watch;
