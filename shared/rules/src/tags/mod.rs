//! Required tags, inheritance of tags, and their repairs.
//!
//! ```text
//!   mesh ──▶ virtual service ──▶ virtual router ──▶ route
//!     │            └──▶ virtual node
//!     └────▶ virtual gateway ──▶ gateway route
//! ```
//!
//! The arrows are the built-in parents; the policy may define others. A value is inherited only if all parents agree.
//! Unread tags are unknown: they are neither checked nor written, and they block inheritance, since their values might
//! differ.

mod inherit;
mod judge;
mod register;

pub use inherit::Inherited;
pub use judge::{Grace, TagFault, TagReport, TagStatus, grace, judge, repairs};
pub(crate) use judge::{faults, fits};
pub(crate) use register::Register;
