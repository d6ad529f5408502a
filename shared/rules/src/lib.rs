//! The rule pack, and the decisions that need its findings: pure, no I/O, no clock.
//!
//! ```text
//! mesh, policy ──▶ pack (with tags, egress) ──▶ findings ──▶ compliance ──▶ a repair, a notice, or no change
//!                                                        ├──▶ audit ──▶ the author and the effects of each change
//!                                                        └──▶ admission ──▶ whether a write is refused
//! ```

pub mod admission;
pub mod audit;
pub mod compliance;
pub mod egress;
pub mod pack;
pub mod reason_catalogue;
pub mod tags;
