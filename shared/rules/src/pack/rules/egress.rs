//! Traffic that leaves the mesh.

use std::collections::BTreeMap;

use crate::egress::{ALWAYS_OPEN, Outlet, Reach, external};
use crate::pack::context::RuleContext;
use crate::pack::controls::OUTBOUND;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::change::Change;
use mesh::name::{ResourceKind, ResourcePath, VirtualServiceName};
use mesh::spec::EgressFilterType;
use policy::HostPattern;

const EGRESS: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Egress,
    severity: Severity::Medium,
    on: &[ResourceKind::Mesh],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: OUTBOUND,
    rests_on_certificates: false,
    check: open,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "mesh-egress-open",
        profile: Profile::Core,
        severity: Severity::High,
        title: "Proxies of the mesh may connect to any address",
        why: "With the egress filter ALLOW_ALL, every proxy passes connections to any address: data can be \
              exfiltrated, and the required hosts are not declared. Host names without a virtual service are then \
              called outside the mesh, without its retries, time limits and TLS.",
        remedy: "Declare the called hosts as backends, then set the filter to DROP_ALL. That is the remediation where it \
               cuts no backend; the finding names the backends that it would cut.",
        managed: &["appmesh-mesh-deny-tcp-forwarding"],
        check: open,
        ..EGRESS
    },
    Rule {
        id: "egress-host-not-allowed",
        severity: Severity::High,
        on: &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway],
        title: "A proxy reaches an outside host that is not on the allow-list",
        why: "The effective egress set of a proxy contains the hosts to which its backends or gateway routes lead, \
              through routers and routes. Hosts outside the mesh must be listed in `egress.allow`, or for the node in \
              `egress.nodes`.",
        remedy: "Allow the host in the policy, or remove the backend from the node. The removal cuts traffic, so it is \
               not automatic.",
        check: not_allowed,
        ..EGRESS
    },
    Rule {
        id: "egress-aws-not-allowed",
        severity: Severity::Low,
        title: "Every proxy reaches AWS, and the allow-list does not name it",
        why: "With either filter, every proxy passes connections to any host below amazonaws.com on port 443. An \
              allow-list without it promises more than the mesh enforces.",
        remedy: "Add `*.amazonaws.com` to `egress.allow`, and restrict it by VPC endpoints and their policies.",
        check: aws,
        ..EGRESS
    },
    Rule {
        id: "egress-allowed-in-vain",
        severity: Severity::Info,
        on: &[ResourceKind::VirtualNode],
        title: "A node may call hosts that it does not declare",
        why: "`egress.nodes` allows the node a host to which none of its backends leads. With the filter DROP_ALL the \
              node cannot call it: the entry is left over, or a backend is missing.",
        remedy: "Add the virtual service as a backend, or remove the host from the policy.",
        check: unused_allowance,
        ..EGRESS
    },
];

fn open(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    if context.egresses().outlet() != Outlet::Open {
        return;
    }
    let filter = context.mesh.spec.as_ref().and_then(|spec| spec.egress_filter.as_ref());
    let Some(filter) = filter.map(|filter| &filter.filter) else { return };
    let mut cut = Vec::new();
    for (number, name, _) in context.numbered_nodes() {
        for (service, reach) in context.links.backends(number).iter().filter_map(|one| context.egresses().behind(*one))
        {
            if matches!(reach, Reach::Nothing | Reach::Dangling) {
                cut.push(format!("{name} to {service}"));
            }
        }
    }
    cut.sort();
    cut.dedup();
    let message = if cut.is_empty() {
        format!("its egress filter is {filter}: every proxy may connect to any address")
    } else {
        format!("its egress filter is {filter}; closing it would cut {}", cut.join(", "))
    };
    let safe = cut.is_empty() && *filter == EgressFilterType::AllowAll;
    let change = Change::SetEgressFilter { mesh: context.mesh.name.clone(), filter: EgressFilterType::DropAll };
    found.on(context.mesh_path(), message, facts! {"filter": filter, "wouldCut": cut}).remediation =
        safe.then_some(change);
}

fn not_allowed(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let of_nodes = context.policy.egress.of_nodes(&context.mesh.name);
    for (number, name, _) in context.numbered_nodes() {
        let mut services = context.links.backends(number).to_vec();
        services.sort_unstable();
        let reached = external(services.into_iter().filter_map(|service| context.egresses().behind(service)));
        if !reached.is_empty() {
            let own = of_nodes.get(name).copied().unwrap_or_default();
            judge(context, found, &context.node_path(name), reached, own);
        }
    }
    for (name, _) in context.gateways() {
        if let Some(egress) = context.egresses().gateway(name) {
            judge(context, found, &context.gateway_path(name), egress.external(), &[]);
        }
    }
}

fn judge(
    context: &RuleContext<'_>,
    found: &mut RuleFindings<'_>,
    path: &ResourcePath,
    reached: BTreeMap<&str, &VirtualServiceName>,
    own: &[HostPattern],
) {
    for (host, service) in reached {
        let allowed = context.policy.egress.allows(host);
        if allowed == Some(false) && !own.iter().any(|pattern| pattern.matches(host)) {
            let message = format!("it reaches {host} through virtual service {service}, which is not allowed");
            found.on_part(path.clone(), host.to_owned(), message, facts! {"host": host, "virtualService": service});
        }
    }
}

fn aws(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let named = context
        .policy
        .egress
        .allow
        .as_ref()
        .map(|allow| allow.iter().any(|pattern| matches!(pattern.as_str(), ALWAYS_OPEN | "*" | "*.com")));
    if named == Some(false) && context.mesh.spec.is_some() {
        let message =
            format!("its proxies pass connections to {ALWAYS_OPEN} on port 443, which is not on the allow-list");
        found.on(context.mesh_path(), message, facts! {"host": ALWAYS_OPEN, "port": 443});
    }
}

fn unused_allowance(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, allow) in context.policy.egress.of_nodes(&context.mesh.name) {
        let Some(egress) = context.egresses().node(name) else { continue };
        let reached = egress.external();
        for pattern in allow.iter().filter(|pattern| !reached.keys().any(|host| pattern.matches(host))) {
            let host = pattern.as_str();
            let message = format!("the policy allows it {host}, and no backend leads there");
            found.on_part(context.node_path(name), host.to_owned(), message, facts! {"host": host});
        }
    }
}
