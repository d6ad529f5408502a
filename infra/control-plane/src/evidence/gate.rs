//! What may be concluded from the reports of all replicas.
//!
//! A secret or a version counts as acknowledged by a proxy resource only if, in one merged answer,
//!
//! 1. every replica has stopped, or is live and has applied the head of the log at the request, or has been silent for so
//!    long that it ended all its streams long ago: otherwise it may serve a proxy that no report contains;
//! 2. every connected instance of the resource has acknowledged it;
//! 3. no instance of the resource left a short time ago without a later stream: it may return with what it had;
//! 4. the resource has a connected instance.
//!
//! The merge checks 1 and 3, and returns the instances for 2 and 4. Why this suffices: take a proxy with a stream at a
//! replica. If the replica is live and the stream older than its report, the report lists the proxy. If the stream is
//! younger, the replica had the head, and the proxy is being sent it. A silent replica serves at most its `serve_stale`, and
//! then its proxies look for another one for some time. A proxy between two replicas is in the list of left instances.
//! Only durations by the clock of one process count; clocks of two replicas decide only which of two streams is later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::facts::{InstanceFacts, LeftInstance, ReplicaFacts};
use super::left::{LINGER, is_followed_by};
use crate::storage::{ReplicaState, Sequence};

/// The durations of the gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateLimits {
    /// A live replica is silent once its beat has stood still for this long.
    pub(crate) silent: Duration,
    /// How long a disconnected proxy is waited for.
    pub(crate) linger: Duration,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self { silent: Duration::from_secs(15), linger: LINGER }
    }
}

/// The last report of one replica, as the reader knows it.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaReport {
    /// The replica.
    pub(crate) id: Uuid,
    /// Whether it is running, by its own report.
    pub(crate) state: ReplicaState,
    /// The last entry of the log that it had applied.
    pub(crate) sequence: Sequence,
    /// How long the reader has seen this report unchanged, by its own clock.
    pub(crate) unchanged: Duration,
    /// How long the replica serves proxies without the store.
    pub(crate) serve_stale: Duration,
    /// Its facts; `None` if they could not be read.
    pub(crate) facts: Option<Arc<ReplicaFacts>>,
}

/// Whether a replica is running, as far as the reader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplicaCondition {
    /// It reports.
    Live,
    /// It has not reported for some time.
    Silent,
    /// It reported its end.
    Stopped,
}

impl ReplicaCondition {
    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Stopped => "stopped",
        }
    }
}

/// Why something about a proxy resource is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnknownReason {
    /// A replica has not reported for some time, and may be serving.
    Silent,
    /// A replica has not applied the head of the log.
    Behind,
    /// The report of a replica cannot be read.
    Unreadable,
    /// A replica sends other certificates as this secret than the answering one.
    OtherSecret(String),
    /// An instance left, and has not returned.
    Left {
        /// The instance.
        instance: String,
        /// When it left.
        at: Timestamp,
    },
}

impl UnknownReason {
    /// Its stable name in reports.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Unreadable => "unreadable",
            Self::OtherSecret(_) => "other-secret",
            Self::Left { .. } => "left",
        }
    }
}

/// Something that is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// The replica that it is unknown because of, if it is one.
    pub(crate) replica: Option<Uuid>,
    /// The reason.
    pub(crate) reason: UnknownReason,
    /// The ids of the proxies that it is unknown about; `None` for all.
    pub(crate) ids: Option<BTreeSet<String>>,
}

/// The evidence of all replicas.
#[derive(Debug, Clone, Default)]
pub(crate) struct MergedEvidence {
    /// The replicas, with the last entry that each had applied.
    pub(crate) replicas: Vec<(Uuid, ReplicaCondition, Sequence)>,
    /// The connected instances, with their replica.
    pub(crate) connected: Vec<(Uuid, InstanceFacts)>,
    /// The unknown proxies. No conclusion about them is allowed.
    pub(crate) unknown: Vec<Unknown>,
}

impl MergedEvidence {
    /// Whether the evidence may change by waiting a moment for the next reports of live replicas.
    pub(crate) fn is_settling(&self) -> bool {
        self.unknown.iter().any(|unknown| match unknown.reason {
            UnknownReason::Behind | UnknownReason::Unreadable => true,
            UnknownReason::Silent | UnknownReason::OtherSecret(_) | UnknownReason::Left { .. } => false,
        })
    }
}

/// Merges the reports of all replicas, the own one first. `head` is the head of the log at the request.
pub(crate) fn merge(head: Sequence, reports: &[ReplicaReport], limits: GateLimits) -> MergedEvidence {
    let mut merged = MergedEvidence::default();
    let mut left = Vec::new();
    for report in reports {
        let unknown = |reason| Unknown { replica: Some(report.id), reason, ids: None };
        let condition = match report.state {
            ReplicaState::Stopped => ReplicaCondition::Stopped,
            ReplicaState::Live if report.unchanged < limits.silent => ReplicaCondition::Live,
            ReplicaState::Live => ReplicaCondition::Silent,
        };
        match condition {
            ReplicaCondition::Stopped if report.unchanged >= limits.linger => continue,
            ReplicaCondition::Silent if report.unchanged >= limits.silent + report.serve_stale + limits.linger => {
                continue;
            }
            ReplicaCondition::Silent => merged.unknown.push(unknown(UnknownReason::Silent)),
            ReplicaCondition::Stopped => match &report.facts {
                None => merged.unknown.push(unknown(UnknownReason::Unreadable)),
                Some(facts) => {
                    left.extend(facts.left.iter().cloned());
                    left.extend(facts.instances.iter().map(cut_off));
                }
            },
            ReplicaCondition::Live => match &report.facts {
                None => merged.unknown.push(unknown(UnknownReason::Unreadable)),
                Some(facts) => {
                    if report.sequence < head {
                        merged.unknown.push(unknown(UnknownReason::Behind));
                    }
                    left.extend(facts.left.iter().cloned());
                    merged.connected.extend(facts.instances.iter().map(|one| (report.id, one.clone())));
                }
            },
        }
        merged.replicas.push((report.id, condition, report.sequence));
    }
    let away = stay_away(&left, &merged.connected);
    merged.unknown.extend(away);
    let differing = other_secrets(reports, &merged);
    merged.unknown.extend(differing);
    merged
}

/// A stream that a stopped replica reported last. Nothing shows a later stream, so its end counts as later than any.
fn cut_off(instance: &InstanceFacts) -> LeftInstance {
    let InstanceFacts { id, instance, since, .. } = instance;
    LeftInstance { id: id.clone(), instance: instance.clone(), first: *since, since: *since, at: Timestamp::MAX }
}

/// The left instances without a later stream. Envoys with one bootstrap cannot be distinguished, so each later stream
/// stands for one that left: the last to leave gets the last stream.
fn stay_away(left: &[LeftInstance], connected: &[(Uuid, InstanceFacts)]) -> Vec<Unknown> {
    type Key<'k> = (&'k str, &'k str);
    let mut ends: BTreeMap<Key<'_>, Vec<&LeftInstance>> = BTreeMap::new();
    for one in left {
        ends.entry((&one.id, &one.instance)).or_default().push(one);
    }
    let mut starts: BTreeMap<Key<'_>, Vec<Timestamp>> = BTreeMap::new();
    for (_, one) in connected {
        starts.entry((&one.id, &one.instance)).or_default().push(one.since);
    }
    for one in left {
        starts.entry((&one.id, &one.instance)).or_default().push(one.first);
    }
    let mut away = Vec::new();
    for (key, mut ends) in ends {
        let mut starts = starts.remove(&key).unwrap_or_default();
        starts.sort_unstable();
        ends.sort_by_key(|left| left.at.max(left.since));
        while let Some(end) = ends.pop() {
            if starts.last().is_some_and(|since| is_followed_by(end, *since)) {
                starts.pop();
            } else {
                let reason = UnknownReason::Left { instance: end.instance.clone(), at: end.at };
                away.push(Unknown { replica: None, reason, ids: Some(BTreeSet::from([end.id.clone()])) });
            }
        }
    }
    away
}

/// The secrets that a live replica has with other certificates than the first, the answering one: a stream that is younger
/// than its report gets those.
fn other_secrets(reports: &[ReplicaReport], merged: &MergedEvidence) -> Vec<Unknown> {
    let facts = |report: &ReplicaReport| report.facts.clone().unwrap_or_default();
    let Some((own, others)) = reports.split_first() else { return Vec::new() };
    let known = facts(own);
    let mut found = Vec::new();
    for report in others.iter().filter(|report| is_live(merged, report.id)) {
        for (name, certificates) in &facts(report).secrets {
            if known.secrets.get(name).is_none_or(|known| known == certificates) {
                continue;
            }
            let users = merged.connected.iter().filter(|(_, instance)| instance.secrets.contains_key(name));
            let ids: BTreeSet<String> = users.map(|(_, instance)| instance.id.clone()).collect();
            if !ids.is_empty() {
                let reason = UnknownReason::OtherSecret(name.clone());
                found.push(Unknown { replica: Some(report.id), reason, ids: Some(ids) });
            }
        }
    }
    found
}

fn is_live(merged: &MergedEvidence, id: Uuid) -> bool {
    merged.replicas.iter().any(|(replica, condition, _)| *replica == id && *condition == ReplicaCondition::Live)
}

#[cfg(test)]
mod tests;
