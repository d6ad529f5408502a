//! Environments in one mesh.

use std::collections::BTreeMap;

use crate::pack::context::RuleContext;
use crate::pack::controls::SEPARATION;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::graph::CallerNumber;
use mesh::name::{ResourceKind, VirtualNodeName};

const ENVIRONMENT: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Naming,
    severity: Severity::Medium,
    on: &[ResourceKind::Mesh],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: SEPARATION,
    rests_on_certificates: false,
    check: mixed,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "environments-mixed",
        title: "Resources of several environments are in one mesh",
        why: "A mesh is one trust zone, one egress filter and one set of quotas: a change for a test environment \
              affects production. The environment of a resource comes from its tag, or from a word of its name, as \
              listed in `environments.names`.",
        remedy: "Give each environment its own mesh.",
        check: mixed,
        ..ENVIRONMENT
    },
    Rule {
        id: "call-across-environments",
        severity: Severity::High,
        on: &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway],
        title: "A call crosses from one environment into another",
        why: "A caller of one environment reaches a virtual node of another: test traffic in production, or production \
              on a test database.",
        remedy: "Change the caller to a service of the same environment.",
        check: crossing,
        ..ENVIRONMENT
    },
];

fn mixed(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    if context.mesh.spec.is_none() {
        return;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for environment in context.environments() {
        *counts.entry(environment).or_default() += 1;
    }
    if counts.len() > 1 {
        let listed: Vec<String> = counts.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        let message = format!("it has resources of {}", listed.join(", "));
        found.on(context.mesh_path(), message, facts! {"environments": counts});
    }
}

fn crossing(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let links = &context.links;
    for (number, (service, _)) in links.services.iter().enumerate() {
        let mut reached: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for node in links.nodes_behind(number) {
            if let Some(environment) = context.environment(ResourceKind::VirtualNode, *node) {
                reached.entry(environment).or_default().extend(links.nodes.name(*node).map(VirtualNodeName::as_str));
            }
        }
        if reached.is_empty() {
            continue;
        }
        for caller in links.callers(number) {
            let own = match caller {
                CallerNumber::Node(node) => context.environment(ResourceKind::VirtualNode, *node),
                CallerNumber::Gateway(gateway) => context.environment(ResourceKind::VirtualGateway, *gateway),
            };
            let Some(own) = own else { continue };
            if reached.keys().all(|environment| *environment == own) {
                continue;
            }
            let others: BTreeMap<_, _> = reached.iter().filter(|(environment, _)| **environment != own).collect();
            if let Some(path) = links.caller(*caller).map(|caller| caller.path(context.mesh)) {
                let listed: Vec<String> =
                    others.iter().map(|(environment, nodes)| format!("{} ({environment})", nodes.join(", "))).collect();
                let message =
                    format!("its environment is {own}, and it reaches {} through {service}", listed.join(", "));
                let facts = facts! {"environment": own, "virtualService": service, "reaches": others};
                found.on_part(path, format!("service {service}"), message, facts);
            }
        }
    }
}
