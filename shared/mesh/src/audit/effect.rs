//! What a change did to a mesh: the findings it created and cleared, the calls that got worse.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::change::ResourceChange;
use super::snapshot::Snapshot;
use crate::certificates::Readings;
use crate::edges::{Edge, EdgeHarm, EdgeName, Verdict, edge_harms, edges_by_policy};
use crate::graph::{InsertError, Mesh};
use crate::pack::{Finding, FindingId, judge_each};
use crate::policy::Policy;

/// The most changes that are judged one after the other. Beyond that, judging takes longer than it tells anybody.
const MOST_STEPS: usize = 40;

/// What changes did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effect {
    /// Findings that were not there, or less severe.
    pub created: Vec<Finding>,
    /// Findings that are no more.
    pub cleared: Vec<Finding>,
    /// Calls that work less well.
    pub worse: Vec<WorseEdge>,
}

/// A call that works less well than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorseEdge {
    /// Which.
    pub edge: EdgeName,
    /// The stable id of what was lost.
    pub harm: String,
    /// How it was.
    pub before: Verdict,
    /// How it is.
    pub after: Verdict,
}

/// What the changes did together, and what each of them did of that.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effects {
    pub(super) all: Effect,
    /// One for each change, in their order; none where there are too many.
    pub(super) each: Vec<Effect>,
    /// What of all can't be put down to one change.
    pub(super) rest: Effect,
}

/// A mesh, judged.
struct Judged {
    findings: BTreeMap<FindingId, Finding>,
    edges: Vec<Edge>,
}

impl Judged {
    fn of(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Self {
        // Certificates are not read here; what they would tell is unknown before and after.
        let readings = Readings::default();
        let findings = judge_each(mesh, &readings, policy, now).findings;
        let findings = findings.into_iter().map(|finding| (finding.id(), finding)).collect();
        Self { findings, edges: edges_by_policy(mesh, &readings, &policy.egress, now) }
    }

    fn is_new(&self, id: &FindingId, finding: &Finding) -> bool {
        self.findings.get(id).is_none_or(|was| was.severity < finding.severity)
    }

    fn created_by(&self, next: &Self) -> BTreeSet<FindingId> {
        next.findings.iter().filter(|(id, finding)| self.is_new(id, finding)).map(|(id, _)| id.clone()).collect()
    }

    fn cleared_by(&self, next: &Self) -> BTreeSet<FindingId> {
        self.findings.keys().filter(|id| !next.findings.contains_key(*id)).cloned().collect()
    }

    fn worse_in(&self, next: &Self) -> Vec<WorseEdge> {
        let verdict = |edges: &[Edge], name: &EdgeName| {
            edges.iter().find(|edge| edge.name() == *name).map(|edge| edge.verdict.clone())
        };
        let harms = edge_harms(&self.edges, &next.edges).into_iter();
        // What certificates hold was not read, so that a call that turns to TLS is no less proven than it was.
        let lost = harms.filter(|harm| !matches!(harm, EdgeHarm::Unproven { .. }));
        lost.filter_map(|harm| {
            let edge = harm.edge().clone();
            let (before, after) = (verdict(&self.edges, &edge)?, verdict(&next.edges, &edge)?);
            Some(WorseEdge { edge, harm: harm.id().to_owned(), before, after })
        })
        .collect()
    }
}

/// Judges the mesh before, after each change in this order, and after all of them. What one change creates and another
/// clears again is nobody's: such is a deployment, piece by piece.
pub(super) fn effects(
    before: &Snapshot,
    after: &Snapshot,
    changes: &[&ResourceChange],
    policy: &Policy,
    now: Timestamp,
) -> Result<Effects, InsertError> {
    let mut mesh = before.model()?;
    let first = Judged::of(&mesh, policy, now);
    let last = Judged::of(&after.model()?, policy, now);
    let (created, cleared) = (first.created_by(&last), first.cleared_by(&last));
    let findings = |of: &Judged, ids: &BTreeSet<FindingId>| -> Vec<Finding> {
        ids.iter().filter_map(|id| of.findings.get(id).cloned()).collect()
    };
    let all = Effect {
        created: in_order(findings(&last, &created)),
        cleared: in_order(findings(&first, &cleared)),
        worse: first.worse_in(&last),
    };
    if changes.len() > MOST_STEPS {
        return Ok(Effects { rest: all.clone(), all, each: Vec::new() });
    }
    let mut each: Vec<Effect> = Vec::new();
    let mut was = Judged { findings: first.findings.clone(), edges: first.edges.clone() };
    for change in changes {
        match after.resources.get(&change.resource) {
            Some(seen) => seen.put(&change.resource, &mut mesh)?,
            None => mesh.remove(&change.resource),
        }
        let is = Judged::of(&mesh, policy, now);
        let (new, gone, worse) = (was.created_by(&is), was.cleared_by(&is), was.worse_in(&is));
        // Whoever does it last has done it.
        for earlier in &mut each {
            earlier.created.retain(|finding| !new.contains(&finding.id()));
            earlier.cleared.retain(|finding| !gone.contains(&finding.id()));
            earlier.worse.retain(|edge| !worse.iter().any(|later| later.edge == edge.edge));
        }
        each.push(Effect {
            created: all.created.iter().filter(|finding| new.contains(&finding.id())).cloned().collect(),
            cleared: all.cleared.iter().filter(|finding| gone.contains(&finding.id())).cloned().collect(),
            worse: all.worse.iter().filter(|edge| worse.iter().any(|now| now.edge == edge.edge)).cloned().collect(),
        });
        was = is;
    }
    let rest = all.without(&each);
    Ok(Effects { all, each, rest })
}

/// The worst first, then by resource.
fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|one, other| {
        (other.severity, &one.resource, one.rule).cmp(&(one.severity, &other.resource, other.rule))
    });
    findings
}

impl Effect {
    /// What is in none of the parts: a call that was cut on the way and came back worse got worse by no single change.
    fn without(&self, parts: &[Self]) -> Self {
        let has =
            |of: fn(&Self) -> &Vec<Finding>, finding: &Finding| parts.iter().any(|part| of(part).contains(finding));
        let is_left =
            |of: fn(&Self) -> &Vec<Finding>| of(self).iter().filter(|finding| !has(of, finding)).cloned().collect();
        Self {
            created: is_left(|effect| &effect.created),
            cleared: is_left(|effect| &effect.cleared),
            worse: self
                .worse
                .iter()
                .filter(|edge| !parts.iter().any(|part| part.worse.contains(edge)))
                .cloned()
                .collect(),
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.created.is_empty() && self.cleared.is_empty() && self.worse.is_empty()
    }

    /// Whether something got worse that people are told of at once: a finding of the policy's severity, or a call.
    #[must_use]
    pub fn is_worse(&self, policy: &Policy) -> bool {
        !self.worse.is_empty() || self.created.iter().any(|finding| finding.severity >= policy.audit.tell_from)
    }
}
