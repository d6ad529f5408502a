//! The effects of a change on a mesh: created and resolved findings, and degraded calls.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::change::ResourceChange;
use super::snapshot::Snapshot;
use crate::pack::{Finding, FindingId, judge_each};
use mesh::certificates::Readings;
use mesh::graph::{InsertError, Mesh};
use policy::Policy;
use policy::edges::{Edge, EdgeHarm, EdgeName, TlsVerdict, edge_harms, edges_by_policy};

/// The maximum number of changes that are evaluated one by one; more would take too long for the benefit.
const MOST_STEPS: usize = 40;

/// The effects of changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effect {
    /// New findings, and findings with a higher severity.
    pub created: Vec<Finding>,
    /// Resolved findings.
    pub cleared: Vec<Finding>,
    /// Degraded calls.
    pub worse: Vec<WorseEdge>,
}

/// A degraded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorseEdge {
    /// The call.
    pub edge: EdgeName,
    /// The stable id of the harm.
    pub harm: String,
    /// The verdict before.
    pub before: TlsVerdict,
    /// The verdict after.
    pub after: TlsVerdict,
}

/// The effects of all changes together, and of each change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effects {
    pub(super) all: Effect,
    /// The effects of each change, in their order; empty if there are too many changes.
    pub(super) each: Vec<Effect>,
    /// The effects that no single change explains.
    pub(super) rest: Effect,
}

/// The findings and edges of a mesh.
struct EvaluatedMesh {
    findings: BTreeMap<FindingId, Finding>,
    edges: Vec<Edge>,
}

impl EvaluatedMesh {
    fn new(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Self {
        // Certificates are not read here, so they are unknown before and after.
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
        // Certificate contents were not read, so a call with new TLS is not degraded.
        let lost = harms.filter(|harm| !matches!(harm, EdgeHarm::Unproven { .. }));
        lost.filter_map(|harm| {
            let edge = harm.edge().clone();
            let (before, after) = (verdict(&self.edges, &edge)?, verdict(&next.edges, &edge)?);
            Some(WorseEdge { edge, harm: harm.id().to_owned(), before, after })
        })
        .collect()
    }
}

/// Evaluates the mesh before, after each change in this order, and after all changes. A finding that one change creates
/// and a later one resolves is not attributed: this is normal within a deployment.
pub(super) fn effects(
    before: &Snapshot,
    after: &Snapshot,
    changes: &[&ResourceChange],
    policy: &Policy,
    now: Timestamp,
) -> Result<Effects, InsertError> {
    let mut mesh = before.model()?;
    let first = EvaluatedMesh::new(&mesh, policy, now);
    let last = EvaluatedMesh::new(&after.model()?, policy, now);
    let (created, cleared) = (first.created_by(&last), first.cleared_by(&last));
    let findings = |of: &EvaluatedMesh, ids: &BTreeSet<FindingId>| -> Vec<Finding> {
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
    let mut was = EvaluatedMesh { findings: first.findings.clone(), edges: first.edges.clone() };
    for change in changes {
        match after.resources.get(&change.resource) {
            Some(seen) => seen.insert_into(&change.resource, &mut mesh)?,
            None => mesh.remove(&change.resource),
        }
        let is = EvaluatedMesh::new(&mesh, policy, now);
        let (new, gone, worse) = (was.created_by(&is), was.cleared_by(&is), was.worse_in(&is));
        // The last change with an effect is its cause.
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

/// Sorts findings by severity, highest first, then by resource.
fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|one, other| {
        (other.severity, &one.resource, one.rule).cmp(&(one.severity, &other.resource, other.rule))
    });
    findings
}

impl Effect {
    /// The effects that are in none of the parts. For example, a call that was cut and then restored with weaker TLS is
    /// degraded by no single change.
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

    /// Whether there are no effects.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.created.is_empty() && self.cleared.is_empty() && self.worse.is_empty()
    }

    /// Whether the effects notify operators: a finding of at least the policy's severity, or a degraded call.
    #[must_use]
    pub fn is_worse(&self, policy: &Policy) -> bool {
        !self.worse.is_empty() || self.created.iter().any(|finding| finding.severity >= policy.audit.tell_from)
    }
}
