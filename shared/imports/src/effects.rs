//! The effects of a plan on the findings and on the calls of the meshes, before any write.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use policy::Policy;
use rules::admission::cuts;
use rules::pack::{Finding, FindingId, RuleName, judge};
use serde::Serialize;

use crate::held::Held;
use crate::order::Simulation;
use crate::plan::Plan;
use crate::step::Step;

/// The effects of a plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effects {
    /// The findings that the plan creates.
    pub created: Vec<Finding>,
    /// The findings that the plan resolves.
    pub resolved: Vec<Finding>,
    /// The number of findings that exist before and after the plan.
    pub remaining: usize,
    /// The calls that work now and fail after a step.
    pub cuts: Vec<CutCall>,
}

/// A call that works before a step and fails after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CutCall {
    /// The written resource.
    pub step: ResourcePath,
    /// The resource with the call.
    pub resource: ResourcePath,
    /// The rule for the cause.
    pub rule: String,
    /// The cause as a sentence.
    pub message: String,
}

/// Computes the effects of a plan by the rules of `check`.
#[must_use]
pub fn effects(plan: &Plan, held: &Held, policy: &Policy, now: Timestamp) -> Effects {
    let mut simulation = Simulation::new(held);
    let before = simulation.meshes().clone();
    let mut effects = Effects::default();
    for step in &plan.steps {
        let mesh = step.path().mesh();
        // No call exists in a mesh that is created, and tags affect none.
        let was = match step {
            Step::Tag { .. } => None,
            Step::Create { .. } | Step::Update { .. } | Step::Delete { .. } if !before.contains_key(mesh) => None,
            Step::Create { .. } | Step::Update { .. } | Step::Delete { .. } => simulation.meshes().get(mesh).cloned(),
        };
        simulation.apply(step);
        if let (Some(was), Some(now_is)) = (was, simulation.meshes().get(mesh)) {
            effects.cuts.extend(calls_cut(&was, now_is, step.path(), policy, now));
        }
    }
    effects.cuts.sort();
    effects.cuts.dedup();
    let (was, will) = (findings(&before, policy, now), findings(simulation.meshes(), policy, now));
    let ids = |findings: &[Finding]| findings.iter().map(Finding::id).collect::<BTreeSet<FindingId>>();
    let (known, left) = (ids(&was), ids(&will));
    effects.resolved = was.into_iter().filter(|finding| !left.contains(&finding.id())).collect();
    let (created, remaining): (Vec<Finding>, Vec<Finding>) =
        will.into_iter().partition(|finding| !known.contains(&finding.id()));
    effects.created = created;
    effects.remaining = remaining.len();
    effects
}

fn calls_cut(was: &Mesh, is: &Mesh, written: &ResourcePath, policy: &Policy, now: Timestamp) -> Vec<CutCall> {
    let is_waived = |rule: &str, resource: &ResourcePath| {
        let rule = RuleName::try_from(rule.to_owned()).ok();
        let path = resource.to_string();
        policy.waivers.iter().any(|waiver| rule.is_some_and(|rule| waiver.covers(rule, &path, now)))
    };
    let found = cuts(was, is, written, now).into_iter().filter(|cut| !is_waived(cut.rule, &cut.resource));
    let call = |cut: rules::admission::Cut| CutCall {
        step: written.clone(),
        resource: cut.resource,
        rule: cut.rule.to_owned(),
        message: cut.message,
    };
    found.map(call).collect()
}

fn findings(meshes: &BTreeMap<MeshName, Mesh>, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    meshes.values().flat_map(|mesh| judge(mesh, &Readings::default(), policy, now).findings).collect()
}
