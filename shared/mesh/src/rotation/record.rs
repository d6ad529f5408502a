//! What is remembered between two wakes: only what can't be seen.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::certificates::{Certificate, Fingerprint, Jitter};
use crate::failover::Told;
use crate::policy::{BackOffPolicy, Percent};

/// The document of a certificate, of trust, or of a mesh in the state table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Of the leaf; unset for trust and for a mesh.
    pub leaf: Option<LeafRecord>,
    /// What went wrong since something last went well.
    pub failures: Option<Failures>,
    /// What people were last told.
    pub told: Option<Told>,
    /// Of a mesh: digests of what it has that others may have, too, as it was last read whole. Unset where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub had: Option<BTreeSet<String>>,
}

/// What is remembered of a leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeafRecord {
    /// The leaf that all this is about. Another one makes it void.
    pub fingerprint: Fingerprint,
    /// When it ends, for people who ask the state table. Unset in a record of an earlier version.
    #[serde(default)]
    pub ends: Option<Timestamp>,
    /// By how much its renewal comes earlier.
    pub jitter: Jitter,
    /// The issuance that is to replace it, once one was begun.
    pub attempt: Option<Attempt>,
    /// What the CA called the present leaf, where it was ordered from here: by that a revocation is recognised.
    pub issued_as: Option<String>,
    /// Somebody said that it was withdrawn.
    pub revoked: bool,
    /// How many certificates were issued for this source.
    pub issued: u32,
    /// How many of them nobody could use, because something went wrong between two steps.
    pub lost: u32,
}

/// One issuance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempt {
    /// Which one it is for this leaf, from 1.
    pub number: u32,
    /// When it was begun.
    pub at: Timestamp,
    /// What the CA calls it, once it was ordered.
    pub order: Option<String>,
    /// Whether the order may have been placed without its name having been kept.
    pub placed: bool,
}

/// Failures in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// When the last one was.
    pub last: Timestamp,
    /// What went wrong then.
    pub why: String,
}

impl Failures {
    /// When it is tried again.
    #[must_use]
    pub fn retry_at(&self, policy: &BackOffPolicy) -> Timestamp {
        let doublings = self.count.saturating_sub(1).min(20);
        let wait = policy.first.get().saturating_mul(1_i32 << doublings);
        self.last + wait.min(policy.most.get()).max(SignedDuration::ZERO)
    }
}

impl LeafRecord {
    /// The record of a leaf that is seen for the first time, after what was remembered of the one before it.
    #[must_use]
    pub(super) fn first_seen(source: &str, leaf: &Certificate, jitter: Percent, before: Option<&Self>) -> Self {
        let attempt = before.and_then(|before| before.attempt.as_ref());
        Self {
            fingerprint: leaf.fingerprint.clone(),
            ends: Some(leaf.not_after),
            jitter: Jitter::draw(jitter, number(&[source, leaf.fingerprint.as_str()])),
            attempt: None,
            issued_as: attempt.and_then(|attempt| attempt.order.clone()),
            revoked: false,
            issued: before.map_or(0, |before| before.issued),
            lost: before.map_or(0, |before| before.lost),
        }
    }

    /// A token for an issuance: the same one for the same attempt, whoever asks.
    #[must_use]
    pub(super) fn token(&self, source: &str, attempt: u32) -> String {
        digest(&["issuance", source, self.fingerprint.as_str(), &attempt.to_string()], 32)
    }

    /// Begins the next attempt, or goes on with one of which nothing was placed.
    pub(super) fn begin(&mut self, now: Timestamp, placed: bool) -> u32 {
        let number = match &self.attempt {
            Some(attempt) if !attempt.placed => attempt.number,
            // Its key is gone: whatever was issued for it, nobody can use.
            Some(attempt) => {
                self.lost = self.lost.saturating_add(1);
                attempt.number.saturating_add(1)
            }
            None => 1,
        };
        self.attempt = Some(Attempt { number, at: now, order: None, placed });
        number
    }

    /// The version that a secret gets for an attempt.
    #[must_use]
    pub(super) fn version(&self, source: &str, attempt: u32, what: &str) -> String {
        digest(&["version", source, self.fingerprint.as_str(), &attempt.to_string(), what], 40)
    }
}

impl Record {
    /// The record once a step has gone well.
    #[must_use]
    pub fn succeeded(mut self) -> Self {
        self.failures = None;
        self
    }

    /// The record once a certificate was issued.
    #[must_use]
    pub fn issued(mut self) -> Self {
        if let Some(leaf) = &mut self.leaf {
            leaf.issued = leaf.issued.saturating_add(1);
        }
        self.succeeded()
    }

    /// The record once a CA has taken an order and told what it calls it.
    #[must_use]
    pub fn ordered(mut self, order: &str) -> Self {
        if let Some(attempt) = self.leaf.as_mut().and_then(|leaf| leaf.attempt.as_mut()) {
            attempt.order = Some(order.to_owned());
            attempt.placed = false;
        }
        self.issued()
    }

    /// The record once a step has failed.
    #[must_use]
    pub fn failed(mut self, why: String, now: Timestamp) -> Self {
        let count = self.failures.as_ref().map_or(0, |failures| failures.count).saturating_add(1);
        self.failures = Some(Failures { count, last: now, why });
        self
    }

    /// The record once it is certain that nothing was ordered.
    #[must_use]
    pub fn unplaced(mut self) -> Self {
        if let Some(attempt) = self.leaf.as_mut().and_then(|leaf| leaf.attempt.as_mut()) {
            attempt.placed = false;
        }
        self
    }

    /// The record once a CA has refused an order for good: the next attempt is another order.
    #[must_use]
    pub fn refused(mut self, why: String, now: Timestamp) -> Self {
        if let Some(attempt) = self.leaf.as_mut().and_then(|leaf| leaf.attempt.as_mut()) {
            attempt.number = attempt.number.saturating_add(1);
            attempt.order = None;
            attempt.placed = false;
        }
        self.failed(why, now)
    }
}

pub(super) fn digest(parts: &[&str], digits: usize) -> String {
    let mut text: String = Fingerprint::of(parts.join("\n").as_bytes()).into();
    text.truncate(digits);
    text
}

fn number(parts: &[&str]) -> u64 {
    let bytes = Sha256::digest(parts.join("\n").as_bytes());
    bytes.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
