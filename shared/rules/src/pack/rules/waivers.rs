//! Expired waivers of the policy.

use crate::pack::context::RuleContext;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::ResourceKind;

pub(super) const RULES: &[Rule] = &[Rule {
    id: "waiver-ended",
    profile: Profile::Recommended,
    group: Group::Policy,
    severity: Severity::Medium,
    on: &[ResourceKind::Mesh],
    title: "A waiver has ended",
    why: "A waiver allowed a finding until a date that has passed. The finding is reported again, and the entry was \
          not reviewed.",
    remedy: "Resolve the waived finding and remove the entry, or have its owner set another end.",
    managed: &[],
    controls: &[],
    rests_on_certificates: false,
    check: ended,
}];

fn ended(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for waiver in context.policy.waivers.iter().filter(|waiver| waiver.until <= context.now) {
        // A waiver without a mesh is reported in every mesh.
        if waiver.mesh().is_some_and(|mesh| mesh != context.mesh.name.as_str()) {
            continue;
        }
        let (what, resource, owner, until) = (waiver.what(), &waiver.resource, &waiver.owner, waiver.until);
        let message = format!("the waiver of {what} on {resource} by {owner} ended {until}");
        let facts = facts! {
            "waived": what, "resource": resource, "owner": owner, "reason": waiver.reason, "until": until.to_string(),
        };
        found.on_part(context.mesh_path(), format!("{what} {resource}"), message, facts);
    }
}
