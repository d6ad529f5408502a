//! The results of the load.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Requests since the start, by the applications that served them; an empty name if none did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) succeeded: BTreeMap<String, u64>,
    pub(crate) failed: BTreeMap<String, u64>,
    /// When each application last served a request of the load, in milliseconds of Unix time.
    pub(crate) last: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a request by the applications that served it.
    pub(crate) fn count(&mut self, served_by: &str, succeeded: bool) {
        let outcome = if succeeded { &mut self.succeeded } else { &mut self.failed };
        *outcome.entry(served_by.to_owned()).or_default() += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.last.extend(served_by.split(',').map(|name| (name.to_owned(), now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_application_of_a_request_has_the_time_of_its_end() {
        let mut tally = Tally::default();
        tally.count("reviews-v2,storefront", false);
        assert_eq!((tally.succeeded.len(), tally.failed["reviews-v2,storefront"]), (0, 1));
        assert_eq!(tally.last.keys().collect::<Vec<_>>(), ["reviews-v2", "storefront"]);
        let before = tally.last["reviews-v2"];
        tally.count("reviews-v1,storefront", true);
        assert_eq!(tally.last["reviews-v2"], before);
        assert!(tally.last["storefront"] >= before);
    }
}
