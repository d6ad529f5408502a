//! Who changed what in a mesh, and what it broke.
//!
//! ```text
//!   mesh as last seen ─┐                ┌─▶ what differs, resource by resource
//!   mesh as it is now ─┼─▶ look ─▶ Look ─┼─▶ the writes that lie between, or that nobody told of one
//!   writes told since ─┘                └─▶ findings created and cleared, calls that got worse
//! ```
//!
//! Events tell who wrote; what was written is read. So an event that comes twice, late or out of order tells at most who
//! it was: the difference between two states is there once. Where several writes lie between two states, nobody can say
//! which of them did what, and nothing here pretends to.

mod attribute;
mod caller;
mod change;
mod effect;
mod look;
mod notice;
mod snapshot;
mod write;

pub use attribute::{Cause, Open};
pub use caller::{Caller, Who};
pub use change::{ChangeKind, Member, Members, ResourceChange, Stand, changes};
pub use effect::{Effect, WorseEdge};
pub use look::{Audit, Behind, Facts, Late, Look, look};
pub use notice::{Told, notice};
pub use snapshot::{Seen, Snapshot, SnapshotError};
pub use write::{Act, Write};
