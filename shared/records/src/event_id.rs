//! The identity of an event, by which a second delivery of the same event is recognised.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of an event. Queues and event buses deliver an event at least once; each delivery has the same identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// The identity with this text.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The identity of a request that is made for several events; `None` for none.
    #[must_use]
    pub fn joined<'a>(events: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut all: Vec<&str> = events.into_iter().map(|event| event.0.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        (!all.is_empty()).then(|| Self(all.join(" and ")))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
