//! The engine of all functions: their common part.
//!
//! ```text
//! start ─▶ environment ─▶ Config ─▶ PolicyKeeper
//!                                       ▼
//!              event ─▶ events::parse ─▶ Runner ─▶ Report ─▶ log lines, metrics, answer
//!                                       ▼
//!                        LambdaFunction::run, with the tools of Run
//!                                       ▼
//!                        Run::reconcile: observe, decide, begin, execute, finish, report
//! ```
//!
//! Two layers: [`Run`] is a toolbox that every function calls: reads and their failures, lines, metrics, budgets, and the
//! deliveries to repeat. [`Run::reconcile`] is one loop, made of those tools, for the functions that change a mesh. A
//! function supplies its events, its observation, its decisions and its steps.
//!
//! The engine decides nothing about a mesh, and calls no service but the state table, the notifier, the event bus and
//! the reports store.

mod case;
mod case_work;
mod change;
mod config;
mod emit;
mod engine;
pub mod events;
mod failure_memory;
mod function;
mod outbox;
mod outcome;
mod paged_memory;
mod passes;
mod policy_keeper;
mod reconcile;
mod report;
mod run;
mod runtime;
mod standstill_memory;
mod start;
mod work;

pub use case::{Case, CaseAction, CaseDecision, DocumentState, News, ObservationData, PlanData, StoredRecord};
pub use change::{ChangeLease, Executed, NotBegun, PendingChange};
pub use config::{Config, ConfigError};
pub use emit::{Emitter, NAMESPACE};
pub use engine::{EnginePorts, NoReports};
pub use failure_memory::{FailureMemory, FailureRun};
pub use function::{LambdaFunction, Runner};
pub use outbox::Message;
pub use outcome::Outcome;
pub use policy_keeper::{Current, LOAD_WITHIN, NoPolicy, PolicyKeeper, REFRESH_WITHIN, REREAD_AFTER};
pub use reconcile::{CaseOf, Pass, Reconcile};
pub use report::{Decision, Metric, Report, Signals};
pub use run::Run;
pub use runtime::{FailedMessages, Handler, Invocation, RESERVE, Retry, holder, log_to_stdout, run};
pub use standstill_memory::{StandstillMemory, StandstillRun, WaitingDecision};
pub use start::{StartupError, one_line, start};
pub use work::{RequestedBy, WorkItem};
