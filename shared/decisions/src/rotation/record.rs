//! The stored documents of certificate-rotation: only state that cannot be observed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::moved::{MovedBack, Repointed};
use super::plan::{RotationStep, StepResult};
use crate::decision::LastNotification;
use mesh::certificates::{Certificate, Fingerprint, Jitter};
use mesh::change::Change;
use mesh::watch::Watch;
use policy::{BackOffPolicy, CertificatesPolicy, PagingPolicy, Percent};

/// The newest format of a [`RotationRecord`] that this version reads.
pub const RECORD_FORMAT: u32 = 1;

/// The document of a certificate, a trust, or a mesh in the state table. Unknown members survive a write, so that an
/// older function does not lose the state of a newer one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationRecord {
    /// The format of the document. A document of a format above [`RECORD_FORMAT`] is not read as this type.
    #[serde(default = "first_format", skip_serializing_if = "is_first_format")]
    pub format: u32,
    /// The state of the leaf; absent for a trust and for a mesh.
    pub leaf: Option<LeafRecord>,
    /// The failures since the last success.
    pub failures: Option<ConsecutiveFailures>,
    /// The last notification.
    #[serde(rename = "told")]
    pub last_notification: Option<LastNotification>,
    /// The digests of the subjects that the mesh may share with others, at its last complete read. Absent
    /// for other subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub had: Option<BTreeSet<String>>,
    /// The last decision, if it was not final; used to detect a standstill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// A page that was decided and may not have been sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<OwedPage>,
    /// The events that were paged, by code, each with the time of its page. The same event does not page again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reported_events: BTreeMap<String, Timestamp>,
    /// Members of a newer version.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Default for RotationRecord {
    fn default() -> Self {
        Self {
            format: RECORD_FORMAT,
            leaf: None,
            failures: None,
            last_notification: None,
            had: None,
            watch: None,
            owed: None,
            reported_events: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }
}

/// A page, stored before it is sent and removed afterwards, so that a failed notification is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedPage {
    /// The subject line.
    pub subject: String,
    /// The body.
    pub body: String,
    /// When the page was decided.
    pub at: Timestamp,
}

/// The stored state of a leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeafRecord {
    /// The leaf that the record describes. The record is void for any other leaf.
    pub fingerprint: Fingerprint,
    /// The end of its validity, for operators who read the state table. Absent in records of earlier versions.
    #[serde(default)]
    pub ends: Option<Timestamp>,
    /// The jitter by which its renewal is advanced.
    pub jitter: Jitter,
    /// The attempt to replace it, once begun.
    pub attempt: Option<Attempt>,
    /// The CA's identifier of the present leaf, if Meshwarden ordered it; used to recognise a revocation.
    pub issued_as: Option<String>,
    /// Whether the CA has reported its revocation.
    pub revoked: bool,
    /// The number of certificates issued for this source.
    pub issued: u32,
    /// The number of issued certificates that were lost, because a failure between two steps made them unusable.
    pub lost: u32,
    /// The number of attempts for this source, over all its leaves. Numbers are never reused, because a version of a
    /// secret that has existed cannot be stored again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// The validity of this source's certificates from their issuance on, in seconds. Absent until the first order,
    /// since it is unknown whether the present leaf was backdated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<i64>,
    /// The versions of the secret, and ARNs of replacements, that were discarded as unusable for this leaf.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discarded: Vec<String>,
    /// The previous leaves of this source, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Fingerprint>,
    /// The version of the secret that was promoted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<String>,
    /// Set while the present leaf is one that had been replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_back: Option<MovedBack>,
    /// The number of times a replaced leaf was made current again since the last renewal that stayed in place.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub times_moved_back: u32,
    /// The listeners that were changed to a replacement, each with its newest. A listener with the old leaf
    /// was moved back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repointed: Vec<Repointed>,
    /// Members of a newer version. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// One attempt to issue a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The number of the attempt for this source, from 1.
    pub number: u32,
    /// When it was begun.
    pub at: Timestamp,
    /// The CA's identifier of the order, once placed.
    pub order: Option<String>,
    /// Whether the order may have been placed without its identifier being stored.
    pub placed: bool,
}

impl Attempt {
    /// Whether no certificate can have been issued for it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.order.is_none() && !self.placed
    }
}

/// Consecutive failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsecutiveFailures {
    /// The number of failures.
    pub count: u32,
    /// When the last one occurred.
    pub last: Timestamp,
    /// The last error.
    pub why: String,
    /// When a page was last sent for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paged: Option<Timestamp>,
}

/// The maximum back-off after the end of the present certificate: the outage has begun, but each attempt may be billed.
const WAIT_AFTER_END: SignedDuration = SignedDuration::from_hours(1);

impl ConsecutiveFailures {
    /// When the next attempt may be made.
    #[must_use]
    pub fn retry_at(&self, policy: &BackOffPolicy) -> Timestamp {
        self.last + self.wait(policy)
    }

    /// When the next attempt may be made for a certificate with an end: at the latest after a quarter of the remaining
    /// time, because an outage by expiry is worse than one more attempt.
    #[must_use]
    pub fn retry_before(&self, ends: Timestamp, lifetime: SignedDuration, policy: &BackOffPolicy) -> Timestamp {
        let left = ends.duration_since(self.last);
        let most = if left > SignedDuration::ZERO { left / 4 } else { WAIT_AFTER_END.min(lifetime / 4) };
        self.last + self.wait(policy).min(most.max(policy.first.get()))
    }

    fn wait(&self, policy: &BackOffPolicy) -> SignedDuration {
        let doublings = self.count.saturating_sub(1).min(20);
        let wait = policy.first.get().saturating_mul(1_i32 << doublings);
        wait.min(policy.most.get()).max(SignedDuration::ZERO)
    }

    /// Whether a page is due: none was sent within `remind_after`, the interval of pages about a lasting failure.
    #[must_use]
    pub fn is_page_due(&self, paging: &PagingPolicy, now: Timestamp) -> bool {
        self.paged.is_none_or(|paged| paged + paging.remind_after.get() <= now)
    }

    /// Whether a step keeps failing: its last attempt failed, and the next one is not long overdue. The next attempt is
    /// made by a run after the back-off, and may itself fail late. These failures page under their own code.
    #[must_use]
    pub fn are_current(&self, policy: &BackOffPolicy, now: Timestamp) -> bool {
        now <= self.last + policy.most.get().saturating_mul(2)
    }
}

/// The maximum number of stored leaves and versions: a document is limited to 400 KB, and Secrets Manager has deleted
/// older versions.
const MOST_REMEMBERED: usize = 40;

fn remember<T: PartialEq>(list: &mut Vec<T>, one: T) {
    list.retain(|other| *other != one);
    list.push(one);
    let excess = list.len().saturating_sub(MOST_REMEMBERED);
    list.drain(..excess);
}

impl LeafRecord {
    /// The record of a leaf without a record, based on the record of the previous leaf.
    #[must_use]
    pub(super) fn first_seen(
        source: &str,
        leaf: &Certificate,
        jitter: Percent,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        let new = Self {
            fingerprint: leaf.fingerprint.clone(),
            ends: Some(leaf.not_after),
            jitter: Jitter::draw(jitter, number(&[source, leaf.fingerprint.as_str()])),
            attempt: None,
            issued_as: None,
            revoked: false,
            issued: 0,
            lost: 0,
            attempts: 0,
            validity: None,
            discarded: Vec::new(),
            replaced: Vec::new(),
            promoted: None,
            moved_back: None,
            times_moved_back: 0,
            repointed: Vec::new(),
            unknown: BTreeMap::new(),
        };
        let Some(before) = before else { return new };
        let attempt = before.attempt.as_ref();
        let was_here = before.replaced.contains(&leaf.fingerprint);
        // A change forward to the leaf that was moved away is not a roll-back.
        let is_undone = before.moved_back.as_ref().is_some_and(|moved| moved.from == leaf.fingerprint);
        let is_back = was_here && !is_undone;
        let mut replaced = before.replaced.clone();
        replaced.retain(|one| *one != leaf.fingerprint);
        remember(&mut replaced, before.fingerprint.clone());
        Self {
            issued_as: attempt.and_then(|attempt| attempt.order.clone()).filter(|_| !was_here),
            issued: before.issued,
            lost: before.lost,
            attempts: attempt.map_or(0, |attempt| attempt.number).max(before.attempts),
            validity: before.validity.filter(|_| attempt.is_some()),
            replaced,
            promoted: before.promoted.clone(),
            moved_back: is_back.then(|| MovedBack { from: before.fingerprint.clone(), seen: now, released: None }),
            times_moved_back: before.times_moved_back.saturating_add(u32::from(is_back)),
            unknown: before.unknown.clone(),
            ..new
        }
    }

    /// The idempotency token of an issuance; the same for every repetition of the attempt.
    #[must_use]
    pub(super) fn token(&self, source: &str, attempt: u32) -> String {
        digest(&["issuance", source, self.fingerprint.as_str(), &attempt.to_string()], 32)
    }

    /// Begins the next attempt, or resumes one for which no certificate can have been issued.
    pub(super) fn begin(&mut self, now: Timestamp, placed: bool) -> u32 {
        let number = match &self.attempt {
            Some(attempt) if attempt.is_open() => attempt.number,
            // Its key is lost, so any certificate issued for it is unusable.
            Some(_) => self.next_number(),
            None => self.attempts.saturating_add(1),
        };
        self.attempts = self.attempts.max(number);
        self.attempt = Some(Attempt { number, at: now, order: None, placed });
        number
    }

    /// Gives up an order that was not promoted yet, because the CA has revoked it. Returns whether there was one.
    pub fn withdraw(&mut self) -> bool {
        let Some(at) = self.attempt.as_ref().filter(|attempt| !attempt.is_open()).map(|attempt| attempt.at) else {
            return false;
        };
        self.give_up(at);
        true
    }

    /// The number of the next attempt; counts the present one as lost if it was ordered.
    fn next_number(&mut self) -> u32 {
        let given_up = self.attempt.as_ref();
        if given_up.is_some_and(|attempt| !attempt.is_open()) {
            self.lost = self.lost.saturating_add(1);
        }
        given_up.map_or(0, |attempt| attempt.number).max(self.attempts).saturating_add(1)
    }

    /// Gives up the present attempt: the next one has another number, and so another key, version and token.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        let number = self.next_number();
        self.attempts = number;
        self.attempt = Some(Attempt { number, at: now, order: None, placed: false });
    }

    /// Discards a version of the secret, or a replacement, that cannot be used.
    pub(super) fn discard(&mut self, what: &str, now: Timestamp) {
        remember(&mut self.discarded, what.to_owned());
        self.give_up(now);
    }

    /// The id of the secret version for an attempt.
    #[must_use]
    pub(super) fn version(&self, source: &str, attempt: u32, what: &str) -> String {
        digest(&["version", source, self.fingerprint.as_str(), &attempt.to_string(), what], 40)
    }
}

impl RotationRecord {
    /// The record after a step was executed or failed.
    #[must_use]
    pub fn after(self, step: &RotationStep, result: &StepResult, now: Timestamp) -> Self {
        match result {
            StepResult::Applied | StepResult::Overwrote { .. } => self.applied(step, now),
            StepResult::Issued => self.issued(),
            StepResult::Ordered { order } => self.ordered(order),
            StepResult::AlreadyInPlace => self,
            StepResult::VersionTaken => self.gave_up(now),
            StepResult::InProgress => match step {
                RotationStep::Collect { issued, give_up_at, .. } if now >= *give_up_at => {
                    self.refused(format!("the CA has not issued {issued} by {give_up_at}"), now)
                }
                _ => self,
            },
            StepResult::Superseded => self.unplaced(),
            StepResult::Refused { why } => self.refused(why.clone(), now),
            StepResult::Failed { why, is_unplaced: true } => self.unplaced().failed(why.clone(), now),
            StepResult::Failed { why, is_unplaced: false } => self.failed(why.clone(), now),
        }
    }

    /// Whether the failure of a step pages now; records the page. A permanent failure pages at once, a transient one
    /// after a few consecutive failures.
    #[must_use]
    pub fn pages_failure(&mut self, is_permanent: bool, policy: &CertificatesPolicy, now: Timestamp) -> bool {
        let Some(failures) = &mut self.failures else { return false };
        let lasts = failures.count >= u32::from(policy.back_off.page_after);
        let pages = (is_permanent || lasts) && failures.is_page_due(&policy.paging, now);
        if pages {
            failures.paged = Some(now);
        }
        pages
    }

    fn applied(mut self, step: &RotationStep, now: Timestamp) -> Self {
        if let (
            RotationStep::Apply { change: Change::SetListenerCertificate { resource, port, certificate } },
            Some(leaf),
        ) = (step, &mut self.leaf)
        {
            let one = Repointed { resource: resource.clone(), port: *port, to: certificate.clone(), at: now };
            leaf.repointed.retain(|other| (&other.resource, other.port) != (resource, *port));
            remember(&mut leaf.repointed, one);
        }
        if let (RotationStep::Promote { to, .. }, Some(leaf)) = (step, &mut self.leaf) {
            leaf.promoted = Some(to.clone());
        }
        match step {
            // An issuance succeeds only when its certificate is current; the new leaf then clears the failures.
            RotationStep::RenewInStore { .. }
            | RotationStep::RequestAnew { .. }
            | RotationStep::Reimport { .. }
            | RotationStep::Prepare { .. }
            | RotationStep::Order { .. }
            | RotationStep::Collect { .. }
            | RotationStep::ImportPending { .. }
            | RotationStep::Promote { .. } => {}
            RotationStep::PublishTrust { .. } | RotationStep::Apply { .. } | RotationStep::MarkSuperseded { .. } => {
                self.failures = None;
            }
        }
        self
    }

    fn issued(mut self) -> Self {
        if let Some(leaf) = &mut self.leaf {
            leaf.issued = leaf.issued.saturating_add(1);
        }
        self
    }

    fn ordered(mut self, order: &str) -> Self {
        if let Some(attempt) = self.leaf.as_mut().and_then(|leaf| leaf.attempt.as_mut()) {
            attempt.order = Some(order.to_owned());
            attempt.placed = false;
        }
        self.issued()
    }

    fn failed(mut self, why: String, now: Timestamp) -> Self {
        self.failures = Some(ConsecutiveFailures::once_more(self.failures.take(), why, now));
        self
    }

    fn unplaced(mut self) -> Self {
        if let Some(attempt) = self.leaf.as_mut().and_then(|leaf| leaf.attempt.as_mut()) {
            attempt.placed = false;
        }
        self
    }

    /// Gives up the attempt without counting a failure.
    fn gave_up(mut self, now: Timestamp) -> Self {
        if let Some(leaf) = &mut self.leaf {
            leaf.give_up(now);
        }
        self
    }

    /// The CA has rejected the order permanently, so the next attempt is a new order.
    fn refused(self, why: String, now: Timestamp) -> Self {
        self.gave_up(now).failed(why, now)
    }

    /// The record after an operator's release: the hold after a roll-back ends, and a failed attempt is repeated at once
    /// as a new attempt. `None` if there is nothing to release.
    #[must_use]
    pub fn released(&self, now: Timestamp) -> Option<Self> {
        let mut record = self.clone();
        record.failures = None;
        record.watch = None;
        if let Some(leaf) = &mut record.leaf {
            leaf.promoted = None;
            leaf.times_moved_back = 0;
            if let Some(moved) = leaf.moved_back.as_mut().filter(|moved| moved.released.is_none()) {
                moved.released = Some(now);
            }
            if leaf.attempt.as_ref().is_some_and(|attempt| !attempt.is_open()) {
                leaf.give_up(now);
            }
        }
        (record != *self).then_some(record)
    }
}

impl ConsecutiveFailures {
    pub(super) fn once_more(before: Option<Self>, why: String, now: Timestamp) -> Self {
        let (count, paged) = before.map_or((0, None), |before| (before.count, before.paged));
        Self { count: count.saturating_add(1), last: now, why, paged }
    }
}

const fn first_format() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
const fn is_first_format(format: &u32) -> bool {
    *format == first_format()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub(super) fn digest(parts: &[&str], digits: usize) -> String {
    let mut text: String = Fingerprint::from_der(parts.join("\n").as_bytes()).into();
    text.truncate(digits);
    text
}

fn number(parts: &[&str]) -> u64 {
    let bytes = Sha256::digest(parts.join("\n").as_bytes());
    bytes.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
