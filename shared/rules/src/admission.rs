//! Admission of a write: the findings that it creates, and the calls that it would cut.
//!
//! ```text
//!   mesh before ─┬─▶ policy pack ──▶ findings before ────┐
//!                │                                       ├─▶ created ─┬─▶ refusing: of a group that a writer can fix
//!   mesh after ──┼─▶ policy pack ──▶ findings ───────────┘            │
//!                └─▶ calls that worked and would fail ──▶ cuts ───────┴─▶ refusing, on any resource
//! ```
//!
//! Only findings that the write creates count, never earlier ones. A finding about a missing resource refuses no write,
//! so that a mesh can be built step by step. A call that worked before and would fail is different: every cut refuses
//! the write, also on a resource that the write does not change, unless a waiver permits it.

mod cuts;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::pack::{Finding, FindingFacts as Facts, FindingId, Group, RuleName, Severity, judge_each, rule_named};
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use policy::Policy;

pub use cuts::{Cut, cuts};

/// The findings that a write creates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WriteVerdict {
    /// Every new finding, and every cut, except waived ones.
    pub created: Vec<Finding>,
    /// The findings for which the write is refused.
    pub refusing: Vec<Finding>,
}

/// Evaluates a write by the mesh before and after it. `refuses` is the minimum severity of a finding that refuses the
/// write; with `None` no write is refused.
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
    // A deletion names its resource, and the API refuses it while references to the resource exist.
    let cuts = if after.has(written) { cuts(before, after, written, now) } else { Vec::new() };
    let cuts: Vec<Finding> =
        cuts.into_iter().filter(|cut| !is_waived(cut, policy, now)).filter_map(finding_of).collect();
    // A cut is more specific than the finding of the same rule on the same resource.
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

/// A cut as a finding of the rule for its cause. `None` only if that rule does not exist, which a test excludes.
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
    let group = rule_named(finding.rule).map(|rule| rule.group);
    finding.resource == *written && finding.severity >= least && group.is_some_and(can_refuse)
}

/// Whether the findings of a group concern the written resource itself, and not missing other resources.
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
