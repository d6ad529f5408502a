//! The runtime plumbing that every function shares: start, configuration, event shapes, the policy in force, reports,
//! metrics, and the answer to Lambda.
//!
//! ```text
//! start ─▶ environment ─▶ Config ─▶ PolicyKeeper
//!                                       ▼
//!              event ─▶ wake::parse ─▶ Handler ─▶ Report ─▶ log lines, metrics, answer
//! ```
//!
//! This crate decides nothing about a mesh and calls no service. It reads the events of Lambda and the documents of a
//! [`ports::PolicySource`].

mod config;
mod emit;
mod failure_memory;
mod paged_memory;
mod policy_keeper;
mod report;
mod runtime;
mod standstill_memory;
mod start;
pub mod wake;

pub use config::{Config, ConfigError};
pub use emit::{Emitter, NAMESPACE};
pub use failure_memory::{FailureMemory, FailureRun};
pub use policy_keeper::{Current, LOAD_WITHIN, LOOK_AGAIN_AFTER, NoPolicy, PolicyKeeper, REFRESH_WITHIN};
pub use report::{Decision, Metric, Report, Signals};
pub use runtime::{FailedMessages, Handler, Invocation, RESERVE, Retry, holder, log_to_stdout, run};
pub use standstill_memory::{StandstillMemory, StandstillRun, WaitingDecision};
pub use start::{StartupError, one_line, start};
