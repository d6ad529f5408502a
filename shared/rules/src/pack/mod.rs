//! The policy pack: the rules, and the evaluation of a mesh by them.
//!
//! ```text
//!   mesh, tags ────┐
//!   certificates ──┤
//!   policy, now ───┴──▶ RuleContext (indexes, made once) ──▶ every rule ──▶ findings, sorted ──▶ waived or not
//! ```
//!
//! A finding is the same for every source of the mesh: it names a resource by kind and path, and no rule reads anything that
//! only one of the sources has. An unknown (unread tags, an unreadable certificate) never counts as compliant, and is never
//! evaluated as if it were known.

mod certainty;
mod context;
mod controls;
mod docs;
mod finding;
mod member;
mod paths;
mod rule;
mod rules;

use jiff::Timestamp;
use serde::Serialize;

use mesh::certificates::Readings;
use mesh::graph::Mesh;
use policy::Policy;
use readers::Fault;

pub use certainty::Certainty;
pub use controls::{Control, Framework};
pub use docs::documentation;
pub use finding::{Finding, FindingFacts, FindingId};
pub use policy::rule_terms::{Group, Profile, RuleName, Severity, UnknownRule};
pub use rule::{Rule, is_evaluated};

use context::RuleContext;
use finding::RuleFindings;

/// Rules that one finding on the mesh replaces where nothing in it has TLS.
const FOLDED: [&str; 2] = ["edge-plaintext", "gateway-listener-without-tls"];

/// The result of evaluating a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// The findings, in the order of the resources.
    pub findings: Vec<Finding>,
    /// The findings that a waiver allows for now, in the same order.
    pub waived: Vec<Finding>,
}

/// The findings on a mesh from its specs and tags, in a stable order, without certificates.
#[must_use]
pub fn evaluate(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    judge(mesh, &Readings::default(), policy, now).findings
}

/// Evaluates a mesh, with the certificates that were read: the findings, and the waived ones.
#[must_use]
pub fn judge(mesh: &Mesh, readings: &Readings, policy: &Policy, now: Timestamp) -> Evaluation {
    let names = |id: &str| rules().any(|rule| rule.id == id && policy.names(rule.name()));
    let evaluates = |id: &str| rules().any(|rule| rule.id == id && is_evaluated(rule, policy));
    let is_folded =
        policy.profile != Profile::Strict && !FOLDED.iter().any(|id| names(id)) && evaluates("mesh-without-tls");
    run(mesh, readings, policy, now, is_folded)
}

/// Evaluates a mesh with each finding on the resource at fault, so that no finding on the mesh replaces others. For the
/// evaluation of a single change, which is responsible for its own effect only.
#[must_use]
pub fn judge_each(mesh: &Mesh, readings: &Readings, policy: &Policy, now: Timestamp) -> Evaluation {
    run(mesh, readings, policy, now, false)
}

fn run(mesh: &Mesh, readings: &Readings, policy: &Policy, now: Timestamp, is_folded: bool) -> Evaluation {
    let mut context = RuleContext::new(mesh, readings, policy, now);
    context.folds_plaintext = is_folded && rules::is_unencrypted(&context);
    let mut all = Vec::new();
    for rule in rules() {
        if is_evaluated(rule, policy) {
            let setting = policy.rules.get(&rule.name());
            let severity = setting.and_then(|setting| setting.severity);
            (rule.check)(&context, &mut RuleFindings::new(rule.name(), rule.severity, severity, &mut all));
        }
    }
    let mut all = context.in_order(all);
    all.dedup();
    waive(all, policy, now)
}

/// The findings on files themselves: the faults that their readers found.
#[must_use]
pub fn judge_faults(faults: &[Fault], policy: &Policy, now: Timestamp) -> Evaluation {
    waive(rules::files::of_faults(faults, policy), policy, now)
}

/// Separates the findings that a waiver allows for now.
fn waive(all: Vec<Finding>, policy: &Policy, now: Timestamp) -> Evaluation {
    let (waived, findings) = if policy.waivers.iter().all(|waiver| waiver.rule.is_none()) {
        (Vec::new(), all)
    } else {
        all.into_iter().partition(|finding| {
            let path = finding.resource.to_string();
            policy.waivers.iter().any(|waiver| waiver.covers(finding.rule, &path, now))
        })
    };
    Evaluation { findings, waived }
}

/// The rule with this name.
#[must_use]
pub fn rule_named(name: RuleName) -> Option<&'static Rule> {
    rules().find(|rule| rule.name() == name)
}

/// Every rule, group by group.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    rules::ALL.iter().flat_map(|of_group| of_group.iter())
}

#[cfg(test)]
mod tests {
    use super::rules;
    use policy::rule_terms::IDS;

    #[test]
    fn listed_ids_are_those_of_the_rules() {
        let ids: Vec<&str> = rules().map(|rule| rule.id).collect();
        assert_eq!(ids, IDS);
    }
}
