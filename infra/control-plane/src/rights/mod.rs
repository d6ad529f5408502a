//! The rights of callers: which requests a key, a role or a service account may make.
//!
//! ```text
//!  --rights FILE --> subjects and grants --> allows(caller, access) <-- access of a parsed request
//!                                             |
//!                                             v
//!                                 pass, or 403 with the missing grant, a metric and an audit line
//! ```
//!
//! Without a file, every caller that authenticates may make every request.

mod access;
mod file;
mod gate;
mod grant;
mod limit;
mod preview;
#[cfg(test)]
mod tests;

pub(crate) use access::{Access, Level};
pub use file::{EntryProblem, RightsFileError};
pub(crate) use gate::{RightsGate, VisibleResources};
pub use limit::WriteLimit;
pub use preview::RightsFile;
