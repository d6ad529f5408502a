//! What leaves each proxy of a mesh, and what can be done about it.
//!
//! ```text
//!   egress filter ─┐
//!   backends ──────┼──▶ Egress of a node: virtual services, hosts outside, AWS, everything
//!   host names ────┘        └── policy ──▶ what is not allowed, what is declared in vain
//! ```
//!
//! What a node sends to hosts that the mesh doesn't know is not in the model. A change that would cut what may be such
//! traffic says so and is not safe.

mod repair;
mod set;

pub use repair::{Cut, Repair, cuts, repairs};
pub(crate) use set::external;
pub use set::{ALWAYS_OPEN, Egress, Egresses, Outlet, Reach};
