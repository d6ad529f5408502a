//! The documents of traffic-shift: a rollout, and the index of all rollouts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollouts::RolloutRecord;
use serde::{Deserialize, Serialize};

use crate::StateKey;
use crate::document::Document;
use crate::format_0::not_in_format_0;
use crate::stored::DocumentRecord;

/// The most ended rollouts that the index keeps.
const ENDED: usize = 50;

/// The rollouts that traffic-shift attends to: the state table has no list of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutIndex {
    /// When each rollout that has not ended was added, by the mesh and the id as in `shop/recs-v2-117`.
    pub active: BTreeMap<String, Timestamp>,
    /// When each of the last ended rollouts ended.
    pub ended: BTreeMap<String, Timestamp>,
}

impl RolloutIndex {
    /// Adds a rollout. An ended rollout is not added again.
    pub fn add(&mut self, rollout: &str, now: Timestamp) {
        if !self.ended.contains_key(rollout) {
            self.active.entry(rollout.to_owned()).or_insert(now);
        }
    }

    /// Moves a rollout to the ended ones, of which the newest stay.
    pub fn end(&mut self, rollout: &str, now: Timestamp) {
        self.active.remove(rollout);
        self.ended.insert(rollout.to_owned(), now);
        while self.ended.len() > ENDED {
            let oldest = self.ended.iter().min_by_key(|(_, at)| **at).map(|(rollout, _)| rollout.clone());
            if let Some(oldest) = oldest {
                self.ended.remove(&oldest);
            }
        }
    }
}

/// Documents that are the same in both formats but for the place of their members.
macro_rules! state_only {
    ($($record:ty),+) => {$(
        impl DocumentRecord for $record {
            type State = Self;

            fn into_document(self, _: &StateKey) -> Document<Self> {
                Document::new(self)
            }

            fn from_document(document: Document<Self>, _: &StateKey) -> Result<Self, String> {
                if document.is_state_only() { Ok(document.state) } else { Err(not_in_format_0()) }
            }
        }
    )+};
}

state_only!(RolloutRecord, RolloutIndex);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_keeps_the_newest_ended_rollouts_and_adds_none_of_them_again() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut index = RolloutIndex::default();
        for number in 0..60_i64 {
            index.add(&format!("shop/{number}"), at(number));
            index.end(&format!("shop/{number}"), at(number));
        }
        assert_eq!((index.active.len(), index.ended.len()), (0, ENDED));
        assert!(!index.ended.contains_key("shop/9") && index.ended.contains_key("shop/10"));
        index.add("shop/59", at(60));
        assert!(index.active.is_empty());
    }
}
