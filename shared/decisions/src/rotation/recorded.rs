//! Recorded decision input, for replays.

use std::cell::RefCell;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::decide;
use super::decision::RotationDecision;
use super::facts::RotationFacts;
use crate::decision::HarmFact;
use mesh::change::Change;
use policy::CertificatesPolicy;

/// One observation with all other input of [`decide`]. It gives the same decisions again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The time of the decision.
    pub now: Timestamp,
    /// The observation.
    pub facts: RotationFacts,
    /// The harms of each change that was checked.
    pub harms: Vec<(Change, Vec<HarmFact>)>,
    /// The policy.
    pub policy: CertificatesPolicy,
}

impl Recorded {
    /// Makes the decisions again.
    #[must_use]
    pub fn decide(&self) -> Vec<RotationDecision> {
        self.decide_with_unrecorded().0
    }

    /// Makes the decisions again; also returns the changes that are checked for harm now and were not then.
    #[must_use]
    pub fn decide_with_unrecorded(&self) -> (Vec<RotationDecision>, Vec<Change>) {
        let unrecorded = RefCell::new(Vec::new());
        let harms = |change: &Change| {
            let recorded = self.harms.iter().find(|(checked, _)| checked == change);
            if recorded.is_none() {
                unrecorded.borrow_mut().push(change.clone());
            }
            recorded.map(|(_, harms)| harms.clone()).unwrap_or_default()
        };
        let decisions = decide(&self.facts, &harms, &self.policy, self.now);
        (decisions, unrecorded.into_inner())
    }
}
