//! The required behaviour of every implementation of a port. The checks assert outcomes, never calls.

pub mod alarms;
pub mod authorities;
pub mod bundles;
pub mod certificates;
pub mod config_rules;
pub mod instances;
pub mod mesh;
pub mod security_hub;
pub mod state;
pub mod state_races;
pub mod x509;

use ports::{PortError, PortErrorKind};

/// The kind of an expected error.
fn kind<T: std::fmt::Debug>(outcome: Result<T, PortError>) -> PortErrorKind {
    outcome.unwrap_err().kind
}
