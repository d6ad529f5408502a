//! Drills: whether failovers were practised, with success.

use crate::pack::context::RuleContext;
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::DrillFactState;
use mesh::name::ResourceKind;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "drill-overdue",
        profile: Profile::Recommended,
        group: Group::Resilience,
        severity: Severity::Medium,
        on: &[ResourceKind::VirtualNode],
        title: "A failover of a virtual node was not practised in time",
        why: "The policy has a plan of drills for the node, and no drill has succeeded or failed within its period. \
              Whether a failover of the node works is not known. The sweep evaluates this; files do not have it.",
        remedy: "Resolve the reason of the last attempt, or run `meshwarden drill start`.",
        managed: &[],
        controls: AVAILABILITY,
        rests_on_certificates: false,
        check: overdue,
    },
    Rule {
        id: "drill-failed",
        profile: Profile::Recommended,
        group: Group::Resilience,
        severity: Severity::High,
        on: &[ResourceKind::VirtualNode],
        title: "The last drill of a virtual node failed",
        why: "While the node was drained, an outcome alarm or an alarm of a receiver went into ALARM. A real failure of \
              the node would reach users. The sweep evaluates this; files do not have it.",
        remedy: "Repair or enlarge what the finding names, and repeat the drill.",
        managed: &[],
        controls: AVAILABILITY,
        rests_on_certificates: false,
        check: failed,
    },
];

fn overdue(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    report(context, found, DrillFactState::Overdue);
}

fn failed(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    report(context, found, DrillFactState::Failed);
}

fn report(context: &RuleContext<'_>, found: &mut RuleFindings<'_>, state: DrillFactState) {
    // A finding names an existing resource; a plan for a deleted node is refused by the drill itself.
    let known = |fact: &&mesh::graph::DrillFact| fact.state == state && context.mesh.nodes.contains_key(&fact.node);
    for fact in context.mesh.drills.iter().filter(known) {
        let part = format!("drill {}", fact.drill);
        found.on_part(context.node_path(&fact.node), part, fact.text.clone(), facts! { "drill": fact.drill });
    }
}
