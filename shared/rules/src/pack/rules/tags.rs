//! Tags of resources.

use std::collections::BTreeMap;

use crate::pack::context::RuleContext;
use crate::pack::controls::INVENTORY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use crate::tags::{Inherited, TagFault};
use mesh::change::Change;
use mesh::name::{ResourceKind, ResourcePath};

const MANAGED: &[&str] = &[
    "appmesh-mesh-tagged",
    "appmesh-virtual-gateway-tagged",
    "appmesh-gateway-route-tagged",
    "appmesh-virtual-node-tagged",
    "appmesh-virtual-router-tagged",
    "appmesh-route-tagged",
    "appmesh-virtual-service-tagged",
];

const TAG: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Tags,
    severity: Severity::Low,
    on: &ResourceKind::ALL,
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: INVENTORY,
    rests_on_certificates: false,
    check: untagged,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "tag-none",
        profile: Profile::Strict,
        title: "A resource has no tag at all",
        why: "Reported where the policy requires no tag of the kind. Without a tag, the owner, the payer and the \
              purpose of the resource are unknown. Tags of AWS and of Meshwarden do not count.",
        remedy: "Set the tags that the policy requires, or at least one that names the owner.",
        managed: MANAGED,
        check: untagged,
        ..TAG
    },
    Rule {
        id: "tag-missing",
        severity: Severity::Medium,
        title: "A required tag is missing",
        why: "`tags.required` in the policy lists the tags that a resource of this kind must have. The resource above \
              it may have the value: a route inherits it from its router, a router from the services that it provides, \
              a service from the mesh, unless the policy sets other sources.",
        remedy: "Set the tag. Where all resources above agree on a value, that value is the remediation; where they \
               differ, the finding names each.",
        managed: MANAGED,
        check: missing,
        ..TAG
    },
    Rule {
        id: "tag-key-case",
        title: "A required tag is written in another case",
        why: "Keys are case-sensitive: reports, budgets and access policies that use `owner` do not match `Owner`.",
        remedy: "Set the tag in the spelling of the policy. The other tag stays until an operator removes it.",
        check: other_case,
        ..TAG
    },
    Rule {
        id: "tag-value",
        severity: Severity::Medium,
        title: "A required tag has a value that is not allowed",
        why: "The policy lists the values or a pattern. Reports and budgets do not count any other value.",
        remedy: "Set one of the allowed values. Where one differs from the present value by case alone, it is the \
               remediation.",
        check: value,
        ..TAG
    },
    Rule {
        id: "tag-conflict",
        severity: Severity::Medium,
        managed: MANAGED,
        title: "A missing tag cannot be inherited, since the resources above differ",
        why: "A resource that serves several owners, such as a virtual router that provides services of two teams, has \
              no single value to inherit.",
        remedy: "Choose the owner and set the tag by hand, or split the resource.",
        check: conflict,
        ..TAG
    },
    Rule {
        id: "tag-differs-from-parent",
        severity: Severity::Info,
        title: "A tag has another value than the resources above",
        why: "All resources above agree on a value, and this resource has another. That may be intended; often the \
              resource was copied from another one.",
        remedy: "Set the value of the resources above, or keep it if it is intended.",
        check: differs,
        ..TAG
    },
];

fn each(context: &RuleContext<'_>, mut visit: impl FnMut(&ResourcePath, &TagFault)) {
    for (path, faults) in context.tag_faults() {
        for fault in faults {
            visit(path, fault);
        }
    }
}

fn untagged(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    each(context, |path, fault| {
        // The other rules report the missing required tags.
        let is_required = context.policy.tags.required.iter().any(|required| required.is_for(path.kind()));
        if matches!(fault, TagFault::Untagged) && !is_required {
            found.on(path.clone(), "it has no tags", facts! {});
        }
    });
}

fn missing(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    each(context, |path, fault| {
        let TagFault::Missing { key, inherited } = fault else { return };
        let (message, facts) = match inherited {
            Inherited::Value { value, from } => (
                format!("it lacks the tag `{key}`; {from} has the value `{value}`"),
                facts! {"key": key, "inherited": value, "from": from},
            ),
            Inherited::Conflict { .. } => return,
            Inherited::Unknown => (
                format!("it lacks the tag `{key}`, and the tags of the resources above it could not be read"),
                facts! {"key": key, "sourceUnread": true},
            ),
            Inherited::Nothing => {
                (format!("it lacks the tag `{key}`, and no resource above has it"), facts! {"key": key})
            }
        };
        report_with_repair(context, found, path, key, fault, message, facts);
    });
}

fn other_case(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    each(context, |path, fault| {
        let TagFault::OtherCase { key, written, value } = fault else { return };
        let message = format!("it has the tag `{written}`, which is not `{key}`");
        report_with_repair(
            context,
            found,
            path,
            key,
            fault,
            message,
            facts! {"key": key, "written": written, "value": value},
        );
    });
}

fn value(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    each(context, |path, fault| {
        let TagFault::Value { key, value, meant } = fault else { return };
        let required = context.policy.tags.required.iter().find(|required| required.key == *key);
        let allowed = required.map(|required| match &required.pattern {
            Some(pattern) if required.values.is_empty() => format!("a value that matches {pattern}"),
            Some(_) | None => required.values.join(", "),
        });
        let allowed = allowed.unwrap_or_default();
        let message = format!("its tag `{key}` is `{value}`; allowed: {allowed}");
        let mut facts = facts! {"key": key, "value": value, "allowed": allowed};
        if let Some(meant) = meant {
            facts.insert("meant".into(), meant.as_str().into());
        }
        report_with_repair(context, found, path, key, fault, message, facts);
    });
}

fn conflict(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    each(context, |path, fault| {
        if let TagFault::Missing { key, inherited: Inherited::Conflict { values } } = fault {
            let message = format!("it lacks the tag `{key}`, and the resources above differ: {}", listed(values));
            found.on_part(path.clone(), key.clone(), message, facts! {"key": key, "values": values});
        }
    });
}

fn differs(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    each(context, |path, fault| {
        if let TagFault::Differs { key, value, above, from } = fault {
            let message = format!("its tag `{key}` is `{value}`, and that of {from} is `{above}`");
            let facts = facts! {"key": key, "value": value, "above": above, "from": from};
            found.on_part(path.clone(), key.clone(), message, facts);
        }
    });
}

/// Adds a finding about a tag, with the tag that resolves it if one is known.
fn report_with_repair(
    context: &RuleContext<'_>,
    found: &mut RuleFindings<'_>,
    path: &ResourcePath,
    key: &str,
    fault: &TagFault,
    message: String,
    facts: crate::pack::FindingFacts,
) {
    let repair = fault.repair().map(|(key, value)| BTreeMap::from([(key.to_owned(), value.to_owned())]));
    let repair = repair.filter(|tags| crate::tags::fits(context.mesh, path, tags));
    found.on_part(path.clone(), key.to_owned(), message, facts).remediation =
        repair.map(|tags| Change::SetTags { resource: path.clone(), tags });
}

fn listed(values: &BTreeMap<String, ResourcePath>) -> String {
    let values: Vec<String> = values.iter().map(|(value, from)| format!("`{value}` ({from})")).collect();
    values.join(", ")
}
