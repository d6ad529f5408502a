//! The external services of Meshwarden's functions, as narrow async traits.
//!
//! ```text
//! functions ──▶ ports (traits) ◀── aws (the real SDK clients)
//!                     ▲
//!                     └────────── ports-memory (tests of logic, with fault injection)
//! ```
//!
//! This crate never names a vendor's type, never decides anything, and never retries: an adapter classifies each error
//! once, as [`PortErrorKind`], and logic depends only on that class.

mod alarm_reader;
pub mod certificates;
mod clock;
mod config_rules;
mod config_rules_answer;
mod deadline;
mod denied;
mod document;
mod error;
mod event_bus;
mod function_invoker;
mod instance_directory;
mod location;
mod mesh_store;
mod metric_reader;
mod notifier;
mod policy_source;
mod queues;
mod report_store;
mod resource_writer;
mod roster;
mod security_hub;
mod state_rules;
mod state_store;
mod survey;

pub use alarm_reader::AlarmReader;
pub use clock::{Clock, SystemClock};
pub use config_rules::{
    Annotation, ConfigItem, ConfigResource, ConfigRules, Evaluation, ItemStatus, MOST_EVALUATIONS, PutAnswer,
    ResultToken, RuleCompliance,
};
pub use config_rules_answer::{PutOutcome, RefusedEvaluation, put_all_evaluations};
pub use deadline::Deadline;
pub use denied::DeniedCalls;
pub use error::{PortError, PortErrorKind};
pub use event_bus::EventBus;
pub use function_invoker::{FunctionAnswer, FunctionInvoker};
pub use instance_directory::{InstanceAttributes, InstanceDirectory};
pub use location::{LocationError, PolicyLocation, ReportsLocation};
pub use mesh_store::{
    Described, MeshReader, MeshWrite, MeshWriter, ResourceRef, RouteWrite, RouteWriter, TagWriter, VirtualGatewayWrite,
    VirtualNodeWrite, Written,
};
pub use metric_reader::{MetricReader, MetricSeries, SeriesData};
pub use notifier::Notifier;
pub use policy_source::{BuiltInPolicy, PolicySource};
pub use queues::{QueueAttribute, QueueMessage, QueueValue, Queues};
pub use records::{BusEvent, DocumentError, Notice, Urgency};
pub use report_store::{ReportStore, store_observation};
pub use resource_writer::{
    CreationOutcome, DeletionOutcome, ResourceCreation, ResourceDeletion, ResourceUpdate, ResourceWriter,
};
pub use roster::Roster;
pub use security_hub::{RefusedFinding, SecurityHub};
pub use state_rules::Admission;
pub use state_store::{
    Begin, Begun, BudgetView, BudgetWindow, Finish, JournalEntry, KillSwitch, Lease, Note, Refusal, Spend, StateKey,
    StateStore, StateView, StoreOutcome, Stored,
};
pub use survey::{Answers, Pace, Reread, Survey, Surveyed, list_mesh, reread, survey};
