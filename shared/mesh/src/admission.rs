//! Whether a write to a mesh may be done: what it makes worse, and which calls it would cut.
//!
//! ```text
//!   mesh before ─┬─▶ policy pack ──▶ findings of before ─┐
//!                │                                       ├─▶ created ─┬─▶ refusing: of a group that a writer can fix
//!   mesh after ──┼─▶ policy pack ──▶ findings ───────────┘            │
//!                └─▶ calls that worked and would fail ──▶ cuts ───────┴─▶ refusing, on whatever resource
//! ```
//!
//! Only what the write creates counts, never what was there before. A finding that says that others are missing refuses
//! nothing, so that a mesh can be built up piece by piece. A call that worked before and would fail is no such case:
//! every cut refuses, also on a resource that the write does not touch, unless a waiver allows it.

mod cuts;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::certificates::Readings;
use crate::graph::Mesh;
use crate::name::ResourcePath;
use crate::pack::{Facts, Finding, FindingId, Group, RuleName, Severity, judge_each};
use crate::policy::Policy;

pub use cuts::{Cut, cuts};

/// What a write makes worse.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WriteVerdict {
    /// Every finding that is new, and every cut; those that a waiver allows are not among them.
    pub created: Vec<Finding>,
    /// Those of them for which the write is refused.
    pub refusing: Vec<Finding>,
}

/// Judges a write by the mesh before it and after it. `refuses` is the least severity of a finding that refuses; where it
/// is `None` nothing refuses.
#[must_use]
pub fn judge_write(
    before: &Mesh,
    after: &Mesh,
    written: &ResourcePath,
    policy: &Policy,
    now: Timestamp,
    refuses: Option<Severity>,
) -> WriteVerdict {
    let readings = Readings::default();
    let was = judge_each(before, &readings, policy, now);
    let known: BTreeSet<FindingId> = was.findings.iter().chain(&was.waived).map(Finding::id).collect();
    let mut found = judge_each(after, &readings, policy, now).findings;
    found.retain(|finding| !known.contains(&finding.id()));
    // A deletion is asked for by name, and the API refuses it while something refers to the resource.
    let cuts = if after.has(written) { cuts(before, after, written, now) } else { Vec::new() };
    let cuts: Vec<Finding> =
        cuts.into_iter().filter(|cut| !is_waived(cut, policy, now)).filter_map(finding_of).collect();
    // A cut says more than the finding of the same rule on the same resource.
    found.retain(|finding| !cuts.iter().any(|cut| (cut.rule, &cut.resource) == (finding.rule, &finding.resource)));
    let refusing = refuses.map_or_else(Vec::new, |least| {
        cuts.iter().chain(found.iter().filter(|finding| refuse(finding, written, least))).cloned().collect()
    });
    WriteVerdict { created: cuts.into_iter().chain(found).collect(), refusing }
}

fn is_waived(cut: &Cut, policy: &Policy, now: Timestamp) -> bool {
    let path = cut.resource.to_string();
    let rule = RuleName::try_from(cut.rule.to_owned()).ok();
    policy.waivers.iter().any(|waiver| rule.is_some_and(|rule| waiver.covers(rule, &path, now)))
}

/// A cut as a finding of the rule that is about its cause. `None` only if that rule did not exist, which a test excludes.
fn finding_of(cut: Cut) -> Option<Finding> {
    Some(Finding {
        rule: RuleName::try_from(cut.rule.to_owned()).ok()?,
        severity: Severity::Critical,
        resource: cut.resource,
        part: String::new(),
        facts: Facts::from([("cutsTraffic".into(), true.into())]),
        message: cut.message,
        remediation: None,
    })
}

/// Whether a finding may refuse the write of a resource.
fn refuse(finding: &Finding, written: &ResourcePath, least: Severity) -> bool {
    let group = finding.rule.rule().map(|rule| rule.group);
    finding.resource == *written && finding.severity >= least && group.is_some_and(can_refuse)
}

/// Whether the findings of a group say something of the resource as it is written, and not that others are yet to come.
const fn can_refuse(group: Group) -> bool {
    match group {
        Group::Tags
        | Group::Egress
        | Group::Tls
        | Group::Certificates
        | Group::Retries
        | Group::Observability
        | Group::Discovery
        | Group::Naming => true,
        Group::Routing | Group::Resilience | Group::Quotas | Group::Cost | Group::Files | Group::Policy => false,
    }
}
