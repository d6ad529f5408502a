//! The compliance decision for each resource of a mesh.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::facts::{StateAccess, UnreadPart};
use super::reason::{ComplianceHoldReason, ComplianceKeepReason};
use super::remedy::{Remedies, no_safe_repair};
use super::status::{ComplianceStatus, ResourceCompliance, judge};
use super::{ResourceFacts, Topic};
use crate::pack::{Finding, RuleName, Severity};
use mesh::change::Change;
use mesh::name::ResourcePath;
use policy::{Mode, Policy, RuleId};

/// The decision about one resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComplianceDecision {
    /// The resource.
    pub resource: ResourcePath,
    /// Its compliance.
    pub judged: ResourceCompliance,
    /// The reasons why findings are not remediated now, the reason of the worst finding first.
    pub held: Vec<ComplianceHoldReason>,
    /// The verdict.
    pub verdict: ComplianceVerdict,
}

/// The verdict on one resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", content = "why", rename_all = "lowercase")]
pub enum ComplianceVerdict {
    /// No change is needed.
    Keep(ComplianceKeepReason),
    /// A change is needed, but not made now.
    Hold(ComplianceHoldReason),
    /// The resource is changed, as far as the mode of each rule permits.
    Act(CompliancePlan),
}

/// The planned changes of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CompliancePlan {
    /// Identifies resource, version and changes; the same plan computed again has the same id.
    pub id: String,
    /// The resource.
    pub resource: ResourcePath,
    /// The version of the resource that the plan is based on.
    pub version: u64,
    /// The changes to make.
    pub apply: Vec<Change>,
    /// The changes that the mode of their rule does not permit; they are only reported.
    pub would: Vec<Change>,
    /// The rules with findings that the plan remediates.
    #[serde(rename = "mends")]
    pub remediates: Vec<RuleName>,
    /// Whether it counts against the budget; a resumed plan was counted before.
    pub spends: bool,
}

/// The resources to decide about.
#[derive(Debug, Clone, Copy)]
pub enum DecisionScope<'a> {
    /// All resources of the mesh.
    All,
    /// Only these resources.
    Only(&'a BTreeSet<ResourcePath>),
}

impl DecisionScope<'_> {
    fn has(self, path: &ResourcePath) -> bool {
        match self {
            Self::All => true,
            Self::Only(paths) => paths.contains(path),
        }
    }
}

/// Decides about the resources of a mesh, in the order of their paths.
#[must_use]
pub fn decide(
    topic: Topic,
    facts: &ResourceFacts,
    policy: &Policy,
    now: Timestamp,
    scope: DecisionScope<'_>,
) -> Vec<ComplianceDecision> {
    let remedies = Remedies { topic, facts, policy, now };
    let mut budget_used = facts.budget_used;
    let judged = judge(topic, facts, policy, now);
    let in_scope = judged.into_iter().filter(|(path, _)| scope.has(path));
    in_scope
        .map(|(resource, judged)| {
            let (candidates, mut held) = candidates(&remedies, &judged);
            let verdict = match plan(&remedies, &resource, candidates) {
                Some(Ok(plan)) if plan.apply.is_empty() => ComplianceVerdict::Act(plan),
                Some(Ok(plan)) => match may_act(topic, facts, policy, &plan, budget_used) {
                    Ok(()) => {
                        budget_used += u32::from(plan.spends);
                        ComplianceVerdict::Act(plan)
                    }
                    Err(reason) => ComplianceVerdict::Hold(reason),
                },
                Some(Err(reason)) => {
                    held.push(reason.clone());
                    ComplianceVerdict::Hold(reason)
                }
                None => without_plan(topic, facts, &resource, &judged, &held),
            };
            ComplianceDecision { resource, judged, held, verdict }
        })
        .collect()
}

/// A finding with the change that remediates it.
struct CandidateChange<'a> {
    finding: &'a Finding,
    change: Change,
}

fn candidates<'a>(
    remedies: &Remedies<'_>,
    judged: &'a ResourceCompliance,
) -> (Vec<CandidateChange<'a>>, Vec<ComplianceHoldReason>) {
    let (mut candidates, mut held) = (Vec::new(), Vec::new());
    // Informational findings are not remediated.
    for finding in judged.findings.iter().filter(|finding| finding.severity > Severity::Info) {
        match remedies.change_for(finding) {
            Ok(change) => candidates.push(CandidateChange { finding, change }),
            Err(reason) => {
                if !held.contains(&reason) {
                    held.push(reason);
                }
            }
        }
    }
    (candidates, held)
}

/// Combines the remediations of a resource into one plan; `None` if it has no remediation.
fn plan(
    remedies: &Remedies<'_>,
    resource: &ResourcePath,
    candidates: Vec<CandidateChange<'_>>,
) -> Option<Result<CompliancePlan, ComplianceHoldReason>> {
    let (facts, policy) = (remedies.facts, remedies.policy);
    let worst = candidates.first()?.finding;
    let mut remediates: Vec<RuleName> = candidates.iter().map(|candidate| candidate.finding.rule).collect();
    remediates.dedup();
    let enforced = |candidate: &CandidateChange<'_>| {
        policy.modes.mode(RuleId::Pack(candidate.finding.rule), &facts.mesh.name) == Mode::Enforce
    };
    let (apply, would): (Vec<_>, Vec<_>) = candidates.into_iter().partition(enforced);
    let (apply, would) = (merged(apply), merged(would));
    let fits = |change: &Change| match change {
        Change::SetTags { tags, .. } => crate::tags::fits(&facts.mesh, resource, tags),
        _ => true,
    };
    let Some(about) = facts.about.get(resource).filter(|_| apply.iter().chain(&would).all(fits)) else {
        return Some(Err(no_safe_repair(worst)));
    };
    let id = plan_id(remedies.topic, resource, about.version, &apply);
    let spends = facts.record.intents.get(resource) != Some(&id);
    Some(Ok(CompliancePlan {
        id,
        resource: resource.clone(),
        version: about.version,
        apply,
        would,
        remediates,
        spends,
    }))
}

/// Merges the tags of a resource into one change.
fn merged(candidates: Vec<CandidateChange<'_>>) -> Vec<Change> {
    let mut merged: Vec<Change> = Vec::new();
    let mut all_tags: BTreeMap<String, String> = BTreeMap::new();
    let mut tagged = None;
    for CandidateChange { change, .. } in candidates {
        match change {
            Change::SetTags { resource, tags } => {
                all_tags.extend(tags);
                tagged = Some(resource);
            }
            other if merged.contains(&other) => {}
            other => merged.push(other),
        }
    }
    merged.extend(tagged.map(|resource| Change::SetTags { resource, tags: all_tags }));
    merged
}

fn plan_id(topic: Topic, resource: &ResourcePath, version: u64, apply: &[Change]) -> String {
    // Changes have only string keys, so this can't fail.
    let changes = serde_json::to_string(apply).unwrap_or_default();
    let digest = Sha256::digest(format!("{topic}\0{resource}\0{version}\0{changes}"));
    let (first, second) = digest.iter().take(16).enumerate().fold((0_u64, 0_u64), |(first, second), (at, byte)| {
        if at < 8 { (first << 8 | u64::from(*byte), second) } else { (first, second << 8 | u64::from(*byte)) }
    });
    format!("{first:016x}{second:016x}")
}

fn may_act(
    topic: Topic,
    facts: &ResourceFacts,
    policy: &Policy,
    plan: &CompliancePlan,
    used: u32,
) -> Result<(), ComplianceHoldReason> {
    if let Some((by, why)) = &facts.kill_switch {
        return Err(ComplianceHoldReason::KillSwitchOn { by: by.clone(), why: why.clone() });
    }
    match &facts.state {
        StateAccess::Known => {}
        StateAccess::Unreachable { .. } => return Err(ComplianceHoldReason::StateUnreachable),
        StateAccess::Unreadable { document, newer_format, .. } => {
            let document = document.clone();
            return Err(match newer_format {
                Some(format) => ComplianceHoldReason::NewerFormat { document, format: *format },
                None => ComplianceHoldReason::RecordUnreadable { document },
            });
        }
    }
    let cap = topic.budget(policy).changes;
    if plan.spends && used >= cap {
        return Err(ComplianceHoldReason::BudgetSpent { used, cap });
    }
    Ok(())
}

/// The reason why the compliance of a resource is unknown.
fn why_unknown(topic: Topic, facts: &ResourceFacts, resource: &ResourcePath) -> ComplianceHoldReason {
    let filter = facts.mesh.spec.as_ref().and_then(|spec| spec.egress_filter.as_ref());
    match (facts.unread.get(resource).map(|unread| unread.part), topic, filter) {
        (Some(UnreadPart::Resource), _, _) => ComplianceHoldReason::ResourceUnread,
        (Some(UnreadPart::Tags) | None, Topic::Egress, Some(filter)) => {
            ComplianceHoldReason::FilterUnknown { filter: filter.filter.to_string() }
        }
        (Some(UnreadPart::Tags) | None, Topic::Egress | Topic::Tags, _) => ComplianceHoldReason::TagsUnknown,
    }
}

fn without_plan(
    topic: Topic,
    facts: &ResourceFacts,
    resource: &ResourcePath,
    judged: &ResourceCompliance,
    held: &[ComplianceHoldReason],
) -> ComplianceVerdict {
    let rules = |findings: &[Finding]| {
        let mut rules: Vec<RuleName> = findings.iter().map(|finding| finding.rule).collect();
        rules.dedup();
        rules
    };
    match (judged.status, held.first()) {
        (ComplianceStatus::InsufficientData, _) => ComplianceVerdict::Hold(why_unknown(topic, facts, resource)),
        (_, Some(reason)) => ComplianceVerdict::Hold(reason.clone()),
        (ComplianceStatus::NotApplicable, None) => ComplianceVerdict::Keep(ComplianceKeepReason::NotApplicable),
        (ComplianceStatus::Compliant | ComplianceStatus::NonCompliant, None) if !judged.findings.is_empty() => {
            ComplianceVerdict::Keep(ComplianceKeepReason::WorthKnowing { rules: rules(&judged.findings) })
        }
        (ComplianceStatus::Compliant | ComplianceStatus::NonCompliant, None) if !judged.waived.is_empty() => {
            ComplianceVerdict::Keep(ComplianceKeepReason::Waived { rules: rules(&judged.waived) })
        }
        (ComplianceStatus::Compliant | ComplianceStatus::NonCompliant, None) => {
            ComplianceVerdict::Keep(ComplianceKeepReason::Compliant)
        }
    }
}
