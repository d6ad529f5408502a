//! Findings grouped by rule and by root cause.
//!
//! ```text
//!   findings ──▶ root cause of each: the place that has to change to resolve it
//!            ──▶ one rule and one root cause: one entry, for any number of resources
//!            ──▶ a finding that is resolved together with another is listed under that one
//! ```
//!
//! The root cause follows from the rule and the facts of a finding. A rule without an entry here has its own resource
//! and part as its root cause, so nothing is attributed by guess.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use mesh::name::{ResourcePath, RouteId, VirtualNodeName};
use rules::pack::{Finding, RuleName, Severity};
use serde_json::Value;

/// The place that has to change to resolve a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RootCause {
    /// The resource to change.
    pub resource: ResourcePath,
    /// The part of the resource, as in `listener 8080`; empty for the resource as a whole.
    pub part: String,
}

/// The findings of one rule and their consequences.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleGroup<'f> {
    /// The name of the rule.
    pub rule: RuleName,
    /// The worst severity of the findings and their consequences.
    pub worst: Severity,
    /// The root causes, the worst first.
    pub causes: Vec<Cause<'f>>,
}

/// One root cause with every finding that is resolved with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause<'f> {
    /// The place that has to change.
    pub root: RootCause,
    /// The findings of the group's rule; at least one.
    pub findings: Vec<&'f Finding>,
    /// The findings of other rules that follow from them.
    pub consequences: Vec<&'f Finding>,
}

impl RuleGroup<'_> {
    /// The number of findings of the rule itself.
    #[must_use]
    pub fn count(&self) -> usize {
        self.causes.iter().map(|cause| cause.findings.len()).sum()
    }

    /// The number of findings of other rules that follow from them.
    #[must_use]
    pub fn consequences(&self) -> usize {
        self.causes.iter().map(|cause| cause.consequences.len()).sum()
    }
}

impl Cause<'_> {
    /// The worst severity of the findings and their consequences.
    #[must_use]
    pub fn worst(&self) -> Severity {
        let all = self.findings.iter().chain(&self.consequences);
        all.map(|finding| finding.severity).max().unwrap_or(Severity::Info)
    }

    /// Whether the cause deserves a separate line: several findings share it, or it is in another place
    /// than the finding.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.findings.len() > 1
    }
}

impl std::fmt::Display for RootCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.part.as_str() {
            "" => write!(f, "{}", self.resource),
            part => write!(f, "{} {part}", self.resource),
        }
    }
}

/// Rules with findings that are resolved together with one of another rule with the same root cause.
const FOLLOWS: [(&str, &[&str]); 15] = [
    (
        "edge-plaintext",
        &[
            "node-listener-without-tls",
            "node-backend-tls-not-enforced",
            "gateway-backend-tls-not-enforced",
            "backend-tls-not-enforced",
            "listener-protocol-unlike-port",
        ],
    ),
    ("edge-broken", &["reference-dangling", "route-target-not-listening", "node-listener-without-tls", "spec-refused"]),
    ("edge-server-unverified", &["node-backend-tls-not-enforced", "gateway-backend-tls-not-enforced"]),
    ("edge-name-mismatch", &["certificate-expired"]),
    ("gateway-without-routes", &["manifest-gateway-missing"]),
    ("manifest-mesh-missing", &["manifest-mesh-selects-nothing"]),
    ("mesh-egress-open", &["member-unknown"]),
    ("node-without-access-log", &["member-unknown"]),
    ("route-target-not-listening", &["reference-dangling"]),
    ("route-unreachable", &["router-unused"]),
    ("route-single-target", &["router-unused"]),
    ("service-without-provider", &["member-unknown"]),
    ("spec-refused", &["member-unknown"]),
    ("tag-missing", &["tag-none"]),
    ("tag-none", &["member-unknown"]),
];

/// Rules that report a missing member of a resource, with the letters of the member's name. If the file contains a
/// misspelling of the member, the misspelling is the root cause.
const LACKS: [(&str, &str); 5] = [
    ("mesh-egress-open", "egressfilter"),
    ("node-without-access-log", "logging"),
    ("service-without-provider", "provider"),
    ("spec-refused", "servicediscovery"),
    ("tag-none", "tags"),
];

/// The part of a root cause that is in the selectors of a resource.
const SELECTORS: &str = "selectors";

/// The place that has to change to resolve a finding, as far as its rule and facts determine it.
#[must_use]
pub fn root_cause(finding: &Finding) -> RootCause {
    let own = || RootCause { resource: finding.resource.clone(), part: finding.part.clone() };
    let caller = || RootCause { resource: finding.resource.clone(), part: String::new() };
    let rule = finding.rule.as_str();
    match rule {
        "reference-dangling" => path(finding, "to").map_or_else(own, whole),
        "edge-plaintext" => match text(finding, "listenerTls") {
            Some("STRICT" | "PERMISSIVE") => caller(),
            _ => listener(finding).unwrap_or_else(own),
        },
        "edge-broken" => match text(finding, "reason") {
            Some("no-client-certificate") => caller(),
            Some("no-node" | "no-listener" | "ambiguous-port" | "no-discovery") => {
                node(finding).map_or_else(own, whole)
            }
            _ => listener(finding).unwrap_or_else(own),
        },
        "edge-server-unverified" | "edge-without-client-certificate" => caller(),
        "edge-name-mismatch" => match text(finding, "of") {
            Some("client") => caller(),
            _ => listener(finding).unwrap_or_else(own),
        },
        "route-target-not-listening" => node(finding).map_or_else(own, whole),
        "route-target-other-protocol" | "time-limit-cut-by-listener" | "idle-limit-cut-by-listener" => {
            listener(finding).unwrap_or_else(own)
        }
        "spec-refused" => match path(finding, "listenersOf") {
            Some(resource) => RootCause { resource, part: "listeners".to_owned() },
            None => own(),
        },
        "manifest-gateway-missing" => match &finding.resource {
            ResourcePath::GatewayRoute(mesh, gateway, _) => RootCause {
                resource: ResourcePath::VirtualGateway(mesh.clone(), gateway.clone()),
                part: SELECTORS.to_owned(),
            },
            _ => own(),
        },
        "manifest-gateway-ambiguous" => {
            of_mesh(finding, format!("{SELECTORS} of the virtual gateways {}", texts(finding, "gateways").join(", ")))
        }
        "manifest-pods-ambiguous" => {
            of_mesh(finding, format!("podSelector of {}", texts(finding, "objects").join(", ")))
        }
        "manifest-mesh-missing" | "manifest-mesh-selects-nothing" => of_mesh(finding, SELECTORS.to_owned()),
        "resource-partly-read" => of_mesh(finding, texts(finding, "expressions").join(", ")),
        // An expression that a module call leaves undecided is undecided in every resource of the module.
        "resource-undecided" => match texts(finding, "expressions").into_iter().find(|what| what.contains(" of ")) {
            Some(call) => of_mesh(finding, call.to_owned()),
            None => own(),
        },
        "route-shadowed" => sibling(finding).map_or_else(own, whole),
        "route-unreachable" => match (text(finding, "reason"), &finding.resource) {
            (Some("no-service"), ResourcePath::Route(id)) => {
                whole(ResourcePath::VirtualRouter(id.mesh.clone(), id.router.clone()))
            }
            _ => own(),
        },
        "time-limits-crossed" => path(finding, "inner").map_or_else(own, whole),
        "tag-missing" => {
            let mesh = || ResourcePath::Mesh(finding.resource.mesh().clone());
            RootCause {
                resource: path(finding, "from").unwrap_or_else(mesh),
                part: format!("tag {}", text(finding, "key").unwrap_or(&finding.part)),
            }
        }
        _ if rule.starts_with("certificate-") => match text(finding, "source") {
            Some(source) => of_mesh(finding, source.to_owned()),
            None => own(),
        },
        _ => own(),
    }
}

/// Groups findings, the worst group first. Each finding is in exactly one group.
#[must_use]
pub fn group(findings: &[Finding]) -> Vec<RuleGroup<'_>> {
    let mut entries: BTreeMap<(RuleName, RootCause), Cause<'_>> = BTreeMap::new();
    let misspelt: Vec<&Finding> = findings.iter().filter(|finding| finding.rule.as_str() == "member-unknown").collect();
    let root_of = |finding| root_cause(misspelling_behind(finding, &misspelt).unwrap_or(finding));
    let rooted: Vec<(RootCause, &Finding)> = findings.iter().map(|finding| (root_of(finding), finding)).collect();
    let mut rules_of: BTreeMap<&RootCause, Vec<RuleName>> = BTreeMap::new();
    for (root, finding) in &rooted {
        rules_of.entry(root).or_default().push(finding.rule);
    }
    for (root, finding) in &rooted {
        let rule = rules_of.get(root).map_or(finding.rule, |rules| first_cause(finding.rule, rules));
        let empty = || Cause { root: root.clone(), findings: Vec::new(), consequences: Vec::new() };
        let cause = entries.entry((rule, root.clone())).or_insert_with(empty);
        if rule == finding.rule { cause.findings.push(finding) } else { cause.consequences.push(finding) }
    }
    let mut groups: BTreeMap<RuleName, Vec<Cause<'_>>> = BTreeMap::new();
    for ((rule, _), cause) in entries {
        groups.entry(rule).or_default().push(cause);
    }
    let mut groups: Vec<RuleGroup<'_>> = groups.into_iter().map(|(rule, causes)| in_order(rule, causes)).collect();
    groups.sort_by_key(|group| {
        let own = group.causes.iter().flat_map(|cause| &cause.findings).map(|finding| finding.severity).max();
        (Reverse(group.worst), Reverse(own), Reverse(group.count() + group.consequences()), group.rule)
    });
    groups
}

/// Creates a group with the worst causes first.
fn in_order(rule: RuleName, mut causes: Vec<Cause<'_>>) -> RuleGroup<'_> {
    for cause in &mut causes {
        cause.findings.sort_by_key(|finding| Reverse(finding.severity));
        cause.consequences.sort_by_key(|finding| (Reverse(finding.severity), finding.rule));
    }
    causes.sort_by_key(|cause| Reverse(cause.worst()));
    let worst = causes.iter().map(Cause::worst).max().unwrap_or(Severity::Info);
    RuleGroup { rule, worst, causes }
}

/// The rule under which a finding is listed, of those with the same root cause. It is the end of the chain of rules
/// that the finding follows from.
fn first_cause(rule: RuleName, of_the_same_root: &[RuleName]) -> RuleName {
    let mut first = rule;
    // The number of steps is bounded by the number of rules with a cause, so a cycle cannot loop forever.
    for _ in 0..FOLLOWS.len() {
        let causes = FOLLOWS.iter().find(|(follows, _)| *follows == first.as_str()).map_or(&[][..], |(_, from)| *from);
        let found = causes.iter().find_map(|cause| of_the_same_root.iter().find(|rule| rule.as_str() == *cause));
        match found {
            Some(cause) => first = *cause,
            None => break,
        }
    }
    first
}

/// The misspelling, in the same resource, of the member that a finding reports as missing.
fn misspelling_behind<'f>(finding: &Finding, misspelt: &[&'f Finding]) -> Option<&'f Finding> {
    let (_, member) = LACKS.iter().find(|(rule, _)| *rule == finding.rule.as_str())?;
    let letters = |name: &str| name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    // `spec-refused` reports many members; only service discovery has an entry in `LACKS`.
    let is_about_it = finding.rule.as_str() != "spec-refused" || finding.part == "spec.serviceDiscovery";
    let means_it = |other: &&&Finding| {
        other.resource == finding.resource
            && text(other, "suggestion").is_some_and(|suggestion| letters(suggestion) == *member)
    };
    misspelt.iter().find(means_it).filter(|_| is_about_it).copied()
}

/// A root cause that is shared by the whole mesh of a finding.
fn of_mesh(finding: &Finding, part: String) -> RootCause {
    RootCause { resource: ResourcePath::Mesh(finding.resource.mesh().clone()), part }
}

fn whole(resource: ResourcePath) -> RootCause {
    RootCause { resource, part: String::new() }
}

fn text<'f>(finding: &'f Finding, fact: &str) -> Option<&'f str> {
    finding.facts.get(fact).and_then(Value::as_str)
}

fn texts<'f>(finding: &'f Finding, fact: &str) -> Vec<&'f str> {
    finding.facts.get(fact).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn path(finding: &Finding, fact: &str) -> Option<ResourcePath> {
    text(finding, fact).and_then(|path| ResourcePath::parse(path).ok())
}

fn node(finding: &Finding) -> Option<ResourcePath> {
    let name = VirtualNodeName::parse(text(finding, "virtualNode")?).ok()?;
    Some(ResourcePath::VirtualNode(finding.resource.mesh().clone(), name))
}

/// The listener that receives the call.
fn listener(finding: &Finding) -> Option<RootCause> {
    let part =
        finding.facts.get("port").and_then(Value::as_u64).map_or_else(String::new, |port| format!("listener {port}"));
    Some(RootCause { resource: node(finding)?, part })
}

/// The route of the same router that matches the requests first.
fn sibling(finding: &Finding) -> Option<ResourcePath> {
    let ResourcePath::Route(id) = &finding.resource else { return None };
    let route = text(finding, "by")?.parse().ok()?;
    Some(ResourcePath::Route(RouteId::new(id.mesh.clone(), id.router.clone(), route)))
}

#[cfg(test)]
mod tests {
    use rules::pack::{rule_named, rules};
    use serde_json::json;

    use super::*;

    fn finding(rule: &str, resource: &str, part: &str, facts: Value) -> Finding {
        let rule = RuleName::try_from(rule.to_owned()).unwrap();
        Finding {
            rule,
            severity: rule_named(rule).unwrap().severity,
            resource: resource.parse().unwrap(),
            part: part.to_owned(),
            facts: serde_json::from_value(facts).unwrap(),
            message: String::new(),
            remediation: None,
        }
    }

    #[test]
    fn consequence_rules_exist_and_form_no_cycle() {
        let all: Vec<RuleName> = rules().map(rules::pack::Rule::name).collect();
        for (rule, causes) in FOLLOWS {
            for name in causes.iter().chain([&rule]) {
                assert!(all.iter().any(|known| known.as_str() == *name), "{name}");
            }
            let rule = all.iter().find(|known| known.as_str() == rule).unwrap();
            let first = first_cause(*rule, &all);
            assert!(FOLLOWS.iter().all(|(follows, _)| *follows != first.as_str()), "{rule} ends at {first}");
        }
    }

    /// Each row is a finding and the place that has to change.
    #[test]
    fn root_cause_follows_from_rule_and_facts() {
        let (node, route) = ("mesh/shop/virtualNode/web", "mesh/shop/virtualRouter/r/route/all");
        for (found, expected) in [
            (finding("node-without-access-log", node, "", json!({})), node),
            (
                finding("reference-dangling", route, "x", json!({"to": "mesh/shop/virtualNode/gone"})),
                "mesh/shop/virtualNode/gone",
            ),
            (
                finding("edge-plaintext", node, "x", json!({"virtualNode": "pay", "port": 80, "listenerTls": "none"})),
                "mesh/shop/virtualNode/pay listener 80",
            ),
            (
                finding(
                    "edge-plaintext",
                    node,
                    "x",
                    json!({"virtualNode": "pay", "port": 80, "listenerTls": "PERMISSIVE"}),
                ),
                node,
            ),
            (
                finding("edge-broken", node, "x", json!({"virtualNode": "pay", "reason": "no-node"})),
                "mesh/shop/virtualNode/pay",
            ),
            (finding("edge-broken", node, "x", json!({"virtualNode": "pay", "reason": "no-client-certificate"})), node),
            (
                finding(
                    "edge-broken",
                    node,
                    "x",
                    json!({"virtualNode": "pay", "port": 80, "reason": "of a later version"}),
                ),
                "mesh/shop/virtualNode/pay listener 80",
            ),
            (finding("route-shadowed", route, "", json!({"by": "first"})), "mesh/shop/virtualRouter/r/route/first"),
            (finding("route-unreachable", route, "", json!({"reason": "no-service"})), "mesh/shop/virtualRouter/r"),
            (finding("route-unreachable", route, "", json!({"reason": "no-caller"})), route),
            (finding("tag-missing", node, "owner", json!({"key": "owner"})), "mesh/shop tag owner"),
            (
                finding("tag-missing", node, "owner", json!({"key": "owner", "from": "mesh/shop/virtualRouter/r"})),
                "mesh/shop/virtualRouter/r tag owner",
            ),
            (
                finding(
                    "spec-refused",
                    route,
                    "spec.httpRoute.match.port",
                    json!({"listenersOf": "mesh/shop/virtualRouter/r"}),
                ),
                "mesh/shop/virtualRouter/r listeners",
            ),
            (
                finding("spec-refused", node, "spec.listeners[0].healthCheck.path", json!({})),
                "mesh/shop/virtualNode/web spec.listeners[0].healthCheck.path",
            ),
            (
                finding(
                    "idle-limit-cut-by-listener",
                    route,
                    "target pay@80",
                    json!({"virtualNode": "pay", "port": 80}),
                ),
                "mesh/shop/virtualNode/pay listener 80",
            ),
            (
                finding("manifest-gateway-missing", "mesh/shop/virtualGateway/g/gatewayRoute/all", "", json!({})),
                "mesh/shop/virtualGateway/g selectors",
            ),
            (
                finding(
                    "manifest-gateway-ambiguous",
                    "mesh/shop/virtualGateway/g/gatewayRoute/all",
                    "",
                    json!({"gateways": ["g", "h"]}),
                ),
                "mesh/shop selectors of the virtual gateways g, h",
            ),
            (finding("manifest-mesh-missing", "mesh/shop", "namespace web", json!({})), "mesh/shop selectors"),
            (
                finding("resource-partly-read", node, "", json!({"expressions": ["${var.a}", "${var.b}"]})),
                "mesh/shop ${var.a}, ${var.b}",
            ),
            (finding("resource-undecided", node, "", json!({"expressions": ["count"]})), node),
            (
                finding("resource-undecided", node, "", json!({"expressions": ["for_each of module.svc"]})),
                "mesh/shop for_each of module.svc",
            ),
            // A fact with an unexpected value must not attribute the finding to another place.
            (finding("reference-dangling", route, "x", json!({"to": 7})), "mesh/shop/virtualRouter/r/route/all x"),
        ] {
            assert_eq!(root_cause(&found).to_string(), expected, "{found:?}");
        }
    }

    /// A missing member that is misspelt has the misspelling as its root cause; another missing member does not.
    #[test]
    fn missing_member_follows_from_its_misspelling() {
        let (web, pay) = ("mesh/shop/virtualNode/web", "mesh/shop/virtualNode/pay");
        let misspelt = |node: &str| {
            finding("member-unknown", node, "spec.ServiceDiscovry", json!({"suggestion": "serviceDiscovery"}))
        };
        let required = |node: &str| finding("spec-refused", node, "spec.serviceDiscovery", json!({}));
        let other = finding("spec-refused", web, "spec.listeners[0].portMapping.port", json!({}));
        let findings = [misspelt(web), required(web), required(pay), other];
        let groups = group(&findings);
        let rules: Vec<(&str, usize, usize)> =
            groups.iter().map(|group| (group.rule.as_str(), group.count(), group.consequences())).collect();
        assert_eq!(rules, [("member-unknown", 1, 1), ("spec-refused", 2, 0)]);
    }

    #[test]
    fn every_consequence_is_listed_under_its_cause() {
        let edge = |from: &str, reason: &str| {
            let facts = json!({"virtualNode": "gone", "reason": reason, "port": 80});
            finding("edge-broken", &format!("mesh/shop/virtualNode/{from}"), "svc at gone", facts)
        };
        let to_gone = json!({"to": "mesh/shop/virtualNode/gone"});
        let findings = vec![
            edge("a", "no-node"),
            edge("b", "no-node"),
            edge("c", "no-client-certificate"),
            finding("reference-dangling", "mesh/shop/virtualRouter/r/route/one", "", to_gone.clone()),
            finding("reference-dangling", "mesh/shop/virtualRouter/r/route/two", "", to_gone),
            finding("node-without-access-log", "mesh/shop/virtualNode/a", "", json!({})),
            finding("node-without-access-log", "mesh/shop/virtualNode/b", "", json!({})),
        ];
        let groups = group(&findings);
        let rules: Vec<(&str, usize, usize)> =
            groups.iter().map(|group| (group.rule.as_str(), group.count(), group.consequences())).collect();
        let expected = [("edge-broken", 1, 0), ("reference-dangling", 2, 2), ("node-without-access-log", 2, 0)];
        assert_eq!(rules, expected, "a cause counts as severe as what follows from it");
        assert_eq!(groups[1].worst, Severity::Critical);
        assert_eq!((groups[1].causes.len(), groups[2].causes.len()), (1, 2));
        let all: usize = groups.iter().map(|group| group.count() + group.consequences()).sum();
        assert_eq!(all, findings.len());
    }
}
