//! The results of the load.

use std::collections::BTreeMap;

use serde::Serialize;

/// Requests since the start, by the applications that served them; an empty name if none did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) succeeded: BTreeMap<String, u64>,
    pub(crate) failed: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a request by the applications that served it.
    pub(crate) fn count(&mut self, served_by: &str, succeeded: bool) {
        let outcome = if succeeded { &mut self.succeeded } else { &mut self.failed };
        *outcome.entry(served_by.to_owned()).or_default() += 1;
    }
}
