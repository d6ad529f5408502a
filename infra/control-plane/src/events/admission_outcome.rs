//! The result of admission for a write with findings.

use std::fmt;

/// The result of admission for a write with findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdmissionOutcome {
    /// The write was stored.
    Warned,
    /// The write was refused.
    Denied,
}

impl fmt::Display for AdmissionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warned => "warned",
            Self::Denied => "denied",
        })
    }
}
