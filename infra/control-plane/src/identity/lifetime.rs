//! The lifetime of tokens.

use jiff::SignedDuration;

/// The longest lifetime of a token. A revocation is remembered for as long.
pub(crate) const LONGEST_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
