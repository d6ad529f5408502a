//! Change audit: the author and the effects of every change in a mesh.
//!
//! ```text
//!   stored state ───────┐           ┌─▶ changes, by resource
//!   present state ──────┼─▶ audit ──┼─▶ the writes between the states, as far as events reported them
//!   writes from events ─┘           └─▶ created and resolved findings, degraded calls
//! ```
//!
//! Events report who wrote; the content of changes is read from the mesh. An event that arrives twice, late or out of
//! order changes only the attribution, and the difference between two states is reported once. With several writes
//! between two states, their individual effects are unknown, and no write is blamed for them.

mod attribute;
mod caller;
mod change;
mod effect;
mod notice;
mod result;
mod snapshot;
mod write;

pub use attribute::{ChangeCause, OpenChange};
pub use caller::{ApiCaller, Who};
pub use change::{ChangeKind, ChangedMembers, Member, ResourceChange, ResourceVersion, changes};
pub use effect::{Effect, WorseEdge};
pub use notice::{AuditNotice, notice};
pub use result::{AuditInput, AuditResult, AuditedChange, LateWrite, StaleReading, audit_changes};
pub use snapshot::{ResourceSnapshot, Snapshot, SnapshotError};
pub use write::{Write, WriteKind};
