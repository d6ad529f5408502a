//! Which tags resources must have, which they take from those above them, and what mends them.
//!
//! ```text
//!   mesh ──▶ virtual service ──▶ virtual router ──▶ route
//!     │            └──▶ virtual node
//!     └────▶ virtual gateway ──▶ gateway route
//! ```
//!
//! The arrows are the built-in ones; the policy may draw others. A value is handed down only where all that could hand
//! it down agree. Tags that nobody read are unknown: they are neither judged nor written, but they may still be what
//! stands in the way of a value, since they might differ.

mod inherit;
mod judge;
mod register;

pub use inherit::Inherited;
pub use judge::{Fault, Grace, Judgement, Standing, grace, judge, repairs};
pub(crate) use judge::{faults, fits};
pub(crate) use register::Register;
