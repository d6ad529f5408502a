//! Plans the import of files into a mesh, reports on it, and writes a mesh to files.
//!
//! ```text
//!   files ──▶ readers ──▶ Desired ──┐
//!                                         ├─▶ plan ──▶ Plan: creations, updates, tags, deletions in a valid order
//!   API ──────────────────────▶ Held ─────┤             └─▶ effects: findings and cut calls before any write
//!                                         └─▶ carried_over: each member of the files, and the API afterwards
//!   Held ──▶ export: API JSON, CloudFormation, Terraform
//! ```
//!
//! [`Desired::from_reading`] refuses every input with a guess in it: an unknown value, an assumed name, two different
//! declarations of one resource. [`plan`] simulates each step against the rules of the API and finds an order in which
//! every intermediate state is valid; without such an order it refuses the whole plan.
//!
//! This crate never makes a call, and it never fills in a value except the one default of the API.

mod carried;
mod desired;
mod effects;
mod export;
mod held;
mod input_refusal;
mod order;
mod plan;
mod step;

pub use carried::{CarriedOutcome, CarriedRow, carried_over};
pub use desired::{Desired, DesiredResource, DroppedMember, InputOptions, SkippedResource};
pub use effects::{CutCall, Effects, effects};
pub use export::{EXPORT_MARKER, ExportFormat, export};
pub use held::{Held, HeldResource, as_held, comparable};
pub use input_refusal::InputRefusal;
pub use plan::{Plan, PlanOptions, PlanRefusal, plan};
pub use step::Step;
