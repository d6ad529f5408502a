//! The runtime plumbing that every function shares: configuration, event shapes, the policy that rules now, reports,
//! metrics, and what Lambda is answered.
//!
//! ```text
//! event ─▶ wake::parse ─▶ Handler ─▶ Report ─▶ log lines, metrics, answer
//!                            ▲
//! environment ─▶ Config ─▶ PolicyKeeper
//! ```
//!
//! This crate never decides anything about a mesh, and never talks to a service: it reads what Lambda hands over and
//! what a [`ports::PolicySource`] gives.

mod config;
mod emit;
mod policy_keeper;
mod report;
mod runtime;
pub mod wake;

pub use config::{Config, ConfigError};
pub use emit::{Emitter, NAMESPACE};
pub use policy_keeper::{Current, LOOK_AGAIN_AFTER, PolicyKeeper, StartError};
pub use report::{Decision, Metric, Report, Signals};
pub use runtime::{FailedMessages, Handler, Invocation, RESERVE, Retry, holder, log_to_stdout, run};
