//! The egress of each proxy of a mesh, and its repairs.
//!
//! ```text
//!   egress filter ─┐
//!   backends ──────┼──▶ Egress of a node: virtual services, outside hosts, AWS, everything
//!   host names ────┘        └── policy ──▶ egress that is not allowed, backends without effect
//! ```
//!
//! Traffic to hosts without a virtual service is not part of the model. A change that may cut such traffic reports
//! that, and is not safe.

mod repair;
mod set;

pub use repair::{EgressCut, Repair, cuts, repairs};
pub(crate) use set::external;
pub use set::{ALWAYS_OPEN, Egress, Egresses, Outlet, Reach};
