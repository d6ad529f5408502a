//! Decides, resource by resource.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::facts::{StateAccess, UnreadPart};
use super::reason::{HoldReason, KeepReason};
use super::remedy::{Remedies, no_safe_repair};
use super::standing::{Judged, Standing, judge};
use super::{Facts, Topic};
use crate::change::Change;
use crate::name::ResourcePath;
use crate::pack::{Finding, RuleName, Severity};
use crate::policy::{Mode, Policy, RuleId};

/// What was decided about a resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The resource.
    pub resource: ResourcePath,
    /// How it stands.
    pub judged: Judged,
    /// Why some of what is wrong is not mended now, that of the worst finding first.
    pub held: Vec<HoldReason>,
    /// What is done.
    pub verdict: Verdict,
}

/// What is done about a resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", content = "why", rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing needs doing.
    Keep(KeepReason),
    /// Nothing is done, although something is wrong.
    Hold(HoldReason),
    /// It is changed, as far as the mode allows.
    Act(Plan),
}

/// What is to be changed about a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What tells it from every other: the same while resource, version and changes are.
    pub id: String,
    /// The resource.
    pub resource: ResourcePath,
    /// The version that it was read at.
    pub version: u64,
    /// What is changed.
    pub apply: Vec<Change>,
    /// What would be, if the mode of its rule allowed it.
    pub would: Vec<Change>,
    /// The rules whose findings this mends.
    pub mends: Vec<RuleName>,
    /// Whether it counts against the budget; one that is taken up again was counted before.
    pub spends: bool,
}

/// Which resources are decided about.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// All of the mesh.
    All,
    /// These.
    Only(&'a BTreeSet<ResourcePath>),
}

impl Scope<'_> {
    fn has(self, path: &ResourcePath) -> bool {
        match self {
            Self::All => true,
            Self::Only(paths) => paths.contains(path),
        }
    }
}

/// Decides about the resources of a mesh, in the order of their paths.
#[must_use]
pub fn decide(topic: Topic, facts: &Facts, policy: &Policy, now: Timestamp, scope: Scope<'_>) -> Vec<Decision> {
    let remedies = Remedies { topic, facts, policy, now };
    let mut budget_used = facts.budget_used;
    let judged = judge(topic, facts, policy, now);
    let in_scope = judged.into_iter().filter(|(path, _)| scope.has(path));
    in_scope
        .map(|(resource, judged)| {
            let (drafts, mut held) = draft(&remedies, &judged);
            let verdict = match plan(&remedies, &resource, drafts) {
                Some(Ok(plan)) if plan.apply.is_empty() => Verdict::Act(plan),
                Some(Ok(plan)) => match may_act(topic, facts, policy, &plan, budget_used) {
                    Ok(()) => {
                        budget_used += u32::from(plan.spends);
                        Verdict::Act(plan)
                    }
                    Err(reason) => Verdict::Hold(reason),
                },
                Some(Err(reason)) => {
                    held.push(reason.clone());
                    Verdict::Hold(reason)
                }
                None => without_plan(topic, facts, &resource, &judged, &held),
            };
            Decision { resource, judged, held, verdict }
        })
        .collect()
}

/// A change that mends a finding.
struct Draft<'a> {
    finding: &'a Finding,
    change: Change,
}

fn draft<'a>(remedies: &Remedies<'_>, judged: &'a Judged) -> (Vec<Draft<'a>>, Vec<HoldReason>) {
    let (mut drafts, mut held) = (Vec::new(), Vec::new());
    // What is merely worth knowing is not mended.
    for finding in judged.findings.iter().filter(|finding| finding.severity > Severity::Info) {
        match remedies.of(finding) {
            Ok(change) => drafts.push(Draft { finding, change }),
            Err(reason) => {
                if !held.contains(&reason) {
                    held.push(reason);
                }
            }
        }
    }
    (drafts, held)
}

/// Makes one plan of what mends a resource; `None` when nothing does.
fn plan(remedies: &Remedies<'_>, resource: &ResourcePath, drafts: Vec<Draft<'_>>) -> Option<Result<Plan, HoldReason>> {
    let (facts, policy) = (remedies.facts, remedies.policy);
    let worst = drafts.first()?.finding;
    let mut mends: Vec<RuleName> = drafts.iter().map(|draft| draft.finding.rule).collect();
    mends.dedup();
    let enforced =
        |draft: &Draft<'_>| policy.modes.of(RuleId::Pack(draft.finding.rule), &facts.mesh.name) == Mode::Enforce;
    let (apply, would): (Vec<_>, Vec<_>) = drafts.into_iter().partition(enforced);
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
    Some(Ok(Plan { id, resource: resource.clone(), version: about.version, apply, would, mends, spends }))
}

/// Tags of one resource are set by one change.
fn merged(drafts: Vec<Draft<'_>>) -> Vec<Change> {
    let mut merged: Vec<Change> = Vec::new();
    let mut all_tags: BTreeMap<String, String> = BTreeMap::new();
    let mut tagged = None;
    for Draft { change, .. } in drafts {
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

fn may_act(topic: Topic, facts: &Facts, policy: &Policy, plan: &Plan, used: u32) -> Result<(), HoldReason> {
    if let Some((by, why)) = &facts.kill_switch {
        return Err(HoldReason::KillSwitchOn { by: by.clone(), why: why.clone() });
    }
    match &facts.state {
        StateAccess::Known => {}
        StateAccess::Unreachable { .. } => return Err(HoldReason::StateUnreachable),
        StateAccess::Unreadable { document, newer_format, .. } => {
            let document = document.clone();
            return Err(match newer_format {
                Some(format) => HoldReason::NewerFormat { document, format: *format },
                None => HoldReason::RecordUnreadable { document },
            });
        }
    }
    let cap = topic.budget(policy).changes;
    if plan.spends && used >= cap {
        return Err(HoldReason::BudgetSpent { used, cap });
    }
    Ok(())
}

/// Why nothing is known of how a resource stands.
fn why_unknown(topic: Topic, facts: &Facts, resource: &ResourcePath) -> HoldReason {
    let filter = facts.mesh.spec.as_ref().and_then(|spec| spec.egress_filter.as_ref());
    match (facts.unread.get(resource).map(|unread| unread.part), topic, filter) {
        (Some(UnreadPart::Resource), _, _) => HoldReason::ResourceUnread,
        (Some(UnreadPart::Tags) | None, Topic::Egress, Some(filter)) => {
            HoldReason::FilterUnknown { filter: filter.filter.to_string() }
        }
        (Some(UnreadPart::Tags) | None, Topic::Egress | Topic::Tags, _) => HoldReason::TagsUnknown,
    }
}

fn without_plan(topic: Topic, facts: &Facts, resource: &ResourcePath, judged: &Judged, held: &[HoldReason]) -> Verdict {
    let rules = |findings: &[Finding]| {
        let mut rules: Vec<RuleName> = findings.iter().map(|finding| finding.rule).collect();
        rules.dedup();
        rules
    };
    match (judged.standing, held.first()) {
        (Standing::InsufficientData, _) => Verdict::Hold(why_unknown(topic, facts, resource)),
        (_, Some(reason)) => Verdict::Hold(reason.clone()),
        (Standing::NotApplicable, None) => Verdict::Keep(KeepReason::NotApplicable),
        (Standing::Compliant | Standing::NonCompliant, None) if !judged.findings.is_empty() => {
            Verdict::Keep(KeepReason::WorthKnowing { rules: rules(&judged.findings) })
        }
        (Standing::Compliant | Standing::NonCompliant, None) if !judged.waived.is_empty() => {
            Verdict::Keep(KeepReason::Waived { rules: rules(&judged.waived) })
        }
        (Standing::Compliant | Standing::NonCompliant, None) => Verdict::Keep(KeepReason::Compliant),
    }
}
