//! Quotas of the service.

use crate::pack::context::RuleContext;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::{ResourceKind, ResourcePath};
use mesh::resource::Tags;

const QUOTA: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Quotas,
    severity: Severity::Low,
    on: &[
        ResourceKind::Mesh,
        ResourceKind::VirtualRouter,
        ResourceKind::VirtualGateway,
        ResourceKind::VirtualNode,
        ResourceKind::Route,
    ],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: &[],
    rests_on_certificates: false,
    check: near,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "quota-near",
        title: "A quota is almost used up",
        why: "Beyond the quota every creation fails, which may be a deployment or a repair. The bound is \
              `quotas.headroom`. The quotas are those in `quotas`, such as the control plane's; with `defaults: aws` \
              also those that App Mesh had on AWS. Fixed quotas are 10 weighted targets per route and 50 tags per \
              resource.",
        remedy: "Request a higher quota, or remove unused resources.",
        check: near,
        ..QUOTA
    },
    Rule {
        id: "quota-exceeded",
        severity: Severity::High,
        title: "The mesh exceeds a quota",
        why: "The API refuses resources beyond a quota: the deployment of a file fails halfway. In a mesh, the finding \
              means that the policy's quotas are not those of the server.",
        remedy: "Request a higher quota, or correct the quota in the policy.",
        check: exceeded,
        ..QUOTA
    },
];

/// A number that a quota bounds.
struct QuotaUse {
    resource: ResourcePath,
    of: &'static str,
    code: &'static str,
    used: usize,
    quota: u32,
}

/// The uses of quotas that the predicate selects.
fn uses(context: &RuleContext<'_>, is_selected: impl Fn(usize, u32) -> bool) -> Vec<QuotaUse> {
    let (mesh, quotas) = (context.mesh, &context.policy.quotas);
    let gateways = mesh.gateways.values().filter(|gateway| gateway.spec.is_some()).count();
    let routers = mesh.routers.values().filter(|router| router.spec.is_some()).count();
    let mut all = Vec::new();
    let mut add = |resource: &dyn Fn() -> ResourcePath, of, code, used, quota: Option<u32>| {
        if let Some(quota) = quota.filter(|quota| is_selected(used, *quota)) {
            all.push(QuotaUse { resource: resource(), of, code, used, quota });
        }
    };
    if mesh.spec.is_some() {
        let of = || context.mesh_path();
        let (nodes, services) = (mesh.nodes.len(), mesh.services.len());
        add(&of, "virtual nodes", "L-E043DFB4", nodes, quotas.quota(quotas.virtual_nodes, 200));
        add(&of, "virtual routers", "L-50F6C35A", routers, quotas.quota(quotas.virtual_routers, 200));
        add(&of, "virtual services", "L-DA7495A7", services, quotas.quota(quotas.virtual_services, 200));
        add(&of, "virtual gateways", "L-87E74146", gateways, quotas.quota(quotas.virtual_gateways, 3));
    }
    let of_router = quotas.quota(quotas.routes_per_router, 50);
    for (name, router) in context.routers().filter(|(_, router)| router.spec.is_some()) {
        add(&|| context.router_path(name), "routes", "L-BB90B7FF", router.routes.len(), of_router);
        for (route, spec) in &router.routes {
            // The API refuses a route with more targets than its quota, so the use can only be near the quota.
            let targets = spec.rule.action().map_or(0, |action| action.weighted_targets.len());
            add(&|| context.route_path(name, route), "weighted targets", "L-AE1D9567", targets, Some(10));
        }
    }
    let of_gateway = quotas.quota(quotas.routes_per_gateway, 10);
    for (name, gateway) in mesh.gateways.iter().filter(|(_, gateway)| gateway.spec.is_some()) {
        add(&|| context.gateway_path(name), "gateway routes", "L-F6F26D09", gateway.routes.len(), of_gateway);
    }
    let of_node = quotas.quota(quotas.backends_per_node, 50);
    for (name, node) in context.nodes() {
        let backends = node.backends.as_ref().map_or(0, Vec::len);
        add(&|| context.node_path(name), "backends", "L-8775AB18", backends, of_node);
    }
    let most = u32::try_from(Tags::MAX).ok();
    for (path, tags) in &mesh.tags {
        add(&|| path.clone(), "tags", "", tags.len(), most);
    }
    // Tags may be known of a resource that does not exist.
    all.retain(|one| !one.code.is_empty() || mesh.has(&one.resource));
    all
}

fn near(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let headroom = u64::from(context.policy.quotas.headroom.get());
    let is_near = |used: usize, quota: u32| {
        let (part, whole) = (u64::try_from(used).unwrap_or(u64::MAX), u64::from(quota));
        // A quota that a single resource almost uses up is not reported.
        part <= whole && whole > 4 && part.saturating_mul(100) >= whole.saturating_mul(headroom)
    };
    for QuotaUse { resource, of, code, used, quota } in uses(context, is_near) {
        let message = format!("it has {used} of {quota} {of}");
        let facts = facts! {"of": of, "quota": quota, "quotaCode": code, "used": used};
        found.on_part(resource, of.to_owned(), message, facts);
    }
}

fn exceeded(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let is_more = |used: usize, quota: u32| u64::try_from(used).unwrap_or(u64::MAX) > u64::from(quota);
    for QuotaUse { resource, of, code, used, quota } in uses(context, is_more) {
        let message = format!("it has {used} {of}, and the quota is {quota}");
        let facts = facts! {"of": of, "quota": quota, "quotaCode": code, "used": used};
        found.on_part(resource, of.to_owned(), message, facts);
    }
}
