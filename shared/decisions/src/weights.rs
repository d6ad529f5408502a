//! The split of a route's traffic over virtual nodes, and the arbiter of its writers.
//!
//! ```text
//! declared ─▶ rollout (percent) ─▶ drill (node) ─▶ failover (phases) ─▶ split      compose
//! writer + layers + kill switch ─▶ Go { ends } | Wait { reason } | Refuse { reason }  admit
//! ```
//!
//! No function keeps the split that it replaces: each writer adds or removes its own layer, and [`compose`] computes the
//! split from all layers. A layer's restore point is the output of the layers below it, so that restore points never
//! nest. [`admit`] is the table of writers: who waits for which layer, and which layer a write ends.

mod admit;
mod arbiter_table;
mod blocker;
mod compose;
mod deadlines;
mod declared;
mod layers;
mod moves;
mod phase;
pub(crate) mod spread;
mod stored;
mod writer;

pub use admit::{Admission, Ending, admit};
pub use arbiter_table::{deadlines_table, writers_table};
pub use blocker::Blocker;
pub use compose::{Composed, NoReceiver, Receivers, compose, failover_base, rollout_split};
pub(crate) use compose::{RolloutLimit, rollout_limit};
pub use deadlines::{LayerLimits, Overdue, overdue};
pub use declared::{Author, DeclaredCode, DeclaredOutcome, author, declared_write};
pub use layers::{DrillLayer, Edit, EndReason, FailoverLayer, LayerEnd, LayerKind, Layers, RolloutLayer};
pub use mesh::split::{Port, Share, Weight, WeightError, WeightSplit, WeightedTarget};
pub use moves::{Move, Moves, MovesError};
pub use phase::Phase;
pub use spread::Receiver;
pub use stored::{PendingWrite, PromotedOver, StoredLayers};
pub use writer::{Rank, Writer, WriterKind};
