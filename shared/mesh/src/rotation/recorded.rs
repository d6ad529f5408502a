//! What decisions were made from, kept so that they can be made again.

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
        let harms = |change: &Change| {
            let asked = self.harms.iter().find(|(asked, _)| asked == change);
            asked.map(|(_, harms)| harms.clone()).unwrap_or_default()
        };
        decide(&self.facts, &harms, &self.policy, self.now)
    }
}
