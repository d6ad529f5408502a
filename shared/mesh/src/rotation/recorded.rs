//! What decisions were made from, kept so that they can be made again.

use std::cell::RefCell;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::{Decision, decide};
use super::facts::Facts;
use crate::change::Change;
use crate::failover::HarmFact;
use crate::policy::CertificatesPolicy;

/// One observation with all that [`decide`] was given beside it. Decided from again, it gives the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// When.
    pub now: Timestamp,
    /// What was observed.
    pub facts: Facts,
    /// What each change would have broken of which that was asked.
    pub harms: Vec<(Change, Vec<HarmFact>)>,
    /// The policy.
    pub policy: CertificatesPolicy,
}

impl Recorded {
    /// The decisions.
    #[must_use]
    pub fn decide(&self) -> Vec<Decision> {
        self.decide_asking().0
    }

    /// The decisions, and the changes of which it is asked now what they would break and was not then.
    #[must_use]
    pub fn decide_asking(&self) -> (Vec<Decision>, Vec<Change>) {
        let unasked = RefCell::new(Vec::new());
        let harms = |change: &Change| {
            let asked = self.harms.iter().find(|(asked, _)| asked == change);
            if asked.is_none() {
                unasked.borrow_mut().push(change.clone());
            }
            asked.map(|(_, harms)| harms.clone()).unwrap_or_default()
        };
        let decisions = decide(&self.facts, &harms, &self.policy, self.now);
        (decisions, unasked.into_inner())
    }
}
