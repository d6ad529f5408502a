//! Whole-system suites, and the harness that they share.
//!
//! ```text
//!                 ┌──▶ ports-memory
//! contract checks ┤
//!                 └──▶ aws (the real SDKs) ──▶ control plane in this process, MiniStack as a child process
//! ```
//!
//! This crate only connects to loopback, and leaves no process and no file behind.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints what it skips"
)]

pub mod alarms;
pub mod attack;
pub mod cbor;
pub mod cloudwatch;
pub mod config_cases;
pub mod config_events;
pub mod config_permissions;
pub mod contract;
pub mod disturbed;
pub mod envoys;
pub mod fault_suite;
pub mod faults;
pub mod function;
pub mod iam;
pub mod key_signature;
pub mod kill_switch;
pub mod mixed_batch;
pub mod moto;
pub mod permissions;
pub mod shop_scene;
pub mod stack;
pub mod start_up;
pub mod template;
pub mod way;
