//! Traffic that leaves the mesh.

use std::collections::BTreeMap;

use crate::change::Change;
use crate::egress::{ALWAYS_OPEN, Outlet, Reach, external};
use crate::name::{ResourceKind, ResourcePath, VirtualServiceName};
use crate::pack::controls::OUTBOUND;
use crate::pack::finding::{Found, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use crate::pack::scene::Scene;
use crate::policy::HostPattern;
use crate::spec::EgressFilterType;

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

fn open(scene: &Scene<'_>, found: &mut Found<'_>) {
    if scene.egresses().outlet() != Outlet::Open {
        return;
    }
    let filter = scene.mesh.spec.as_ref().and_then(|spec| spec.egress_filter.as_ref());
    let Some(filter) = filter.map(|filter| &filter.filter) else { return };
    let mut cut = Vec::new();
    for (number, name, _) in scene.numbered_nodes() {
        for (service, reach) in scene.links.backends(number).iter().filter_map(|one| scene.egresses().behind(*one)) {
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
    let change = Change::SetEgressFilter { mesh: scene.mesh.name.clone(), filter: EgressFilterType::DropAll };
    found.on(scene.mesh_path(), message, facts! {"filter": filter, "wouldCut": cut}).remediation =
        safe.then_some(change);
}

fn not_allowed(scene: &Scene<'_>, found: &mut Found<'_>) {
    let of_nodes = scene.policy.egress.of_nodes(&scene.mesh.name);
    for (number, name, _) in scene.numbered_nodes() {
        let mut services = scene.links.backends(number).to_vec();
        services.sort_unstable();
        let reached = external(services.into_iter().filter_map(|service| scene.egresses().behind(service)));
        if !reached.is_empty() {
            let own = of_nodes.get(name).copied().unwrap_or_default();
            judge(scene, found, &scene.node_path(name), reached, own);
        }
    }
    for (name, _) in scene.gateways() {
        if let Some(egress) = scene.egresses().gateway(name) {
            judge(scene, found, &scene.gateway_path(name), egress.external(), &[]);
        }
    }
}

fn judge(
    scene: &Scene<'_>,
    found: &mut Found<'_>,
    path: &ResourcePath,
    reached: BTreeMap<&str, &VirtualServiceName>,
    own: &[HostPattern],
) {
    for (host, service) in reached {
        let allowed = scene.policy.egress.allows(host);
        if allowed == Some(false) && !own.iter().any(|pattern| pattern.matches(host)) {
            let message = format!("it reaches {host} through virtual service {service}, which is not allowed");
            found.on_part(path.clone(), host.to_owned(), message, facts! {"host": host, "virtualService": service});
        }
    }
}

fn aws(scene: &Scene<'_>, found: &mut Found<'_>) {
    let named = scene
        .policy
        .egress
        .allow
        .as_ref()
        .map(|allow| allow.iter().any(|pattern| matches!(pattern.as_str(), ALWAYS_OPEN | "*" | "*.com")));
    if named == Some(false) && scene.mesh.spec.is_some() {
        let message =
            format!("its proxies pass connections to {ALWAYS_OPEN} on port 443, which is not on the allow-list");
        found.on(scene.mesh_path(), message, facts! {"host": ALWAYS_OPEN, "port": 443});
    }
}

fn unused_allowance(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (name, allow) in scene.policy.egress.of_nodes(&scene.mesh.name) {
        let Some(egress) = scene.egresses().node(name) else { continue };
        let reached = egress.external();
        for pattern in allow.iter().filter(|pattern| !reached.keys().any(|host| pattern.matches(host))) {
            let host = pattern.as_str();
            let message = format!("the policy allows it {host}, and no backend leads there");
            found.on_part(scene.node_path(name), host.to_owned(), message, facts! {"host": host});
        }
    }
}
