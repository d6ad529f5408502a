//! The rules of each profile, and findings that stand for several.

use mesh::certificates::ServiceInstances;
use policy::Policy;
use rules::pack::{RuleName, Severity, is_evaluated, judge_each, rule_named};

use super::case::{Case, text_of};

fn rules_of(case: &Case) -> Vec<&'static str> {
    case.judge().findings.iter().map(|finding| finding.rule.as_str()).collect()
}

fn by(rule: &str, policy: &str) -> Case {
    let mut case = Case::read(&text_of(rule, "fails").unwrap());
    case.policy = Policy::read(&format!("version: 1\n{policy}")).unwrap();
    case
}

#[test]
fn rule_is_evaluated_by_its_profile_or_where_the_policy_names_it() {
    for (rule, policy, expected) in [
        ("route-drained", "profile: core", true),
        ("route-drained", "", true),
        ("route-shadowed", "profile: core", false),
        ("route-shadowed", "", true),
        ("route-shadowed", "profile: recommended", true),
        ("node-without-access-log", "", false),
        ("node-without-access-log", "profile: strict", true),
        ("node-without-access-log", "rules: {node-without-access-log: {enabled: true}}", true),
        ("node-without-access-log", "rules: {node-without-access-log: {severity: high}}", true),
        ("node-without-access-log", "rules: {node-without-access-log: {}}", false),
        ("node-without-access-log", "modes: {rules: {node-without-access-log: enforce}}", true),
        (
            "node-without-access-log",
            "modes: {meshes: {other: {default: observe, rules: {node-without-access-log: enforce}}}}",
            true,
        ),
        ("node-without-access-log", "modes: {default: enforce}", false),
        ("node-without-access-log", "profile: strict\nrules: {node-without-access-log: {enabled: false}}", false),
        ("route-drained", "rules: {route-drained: {enabled: false, severity: low}}", false),
    ] {
        let found = rules_of(&by(rule, policy)).contains(&rule);
        assert_eq!(found, expected, "{rule} by {policy}");
    }
    let error = Policy::read("version: 1\nprofile: lax").unwrap_err();
    assert_eq!((error.line, error.key.as_str()), (2, "profile"), "{error}");
}

#[test]
fn mesh_without_tls_has_one_finding() {
    for (policy, mesh, calls) in [
        ("", 1, 0),
        ("profile: core", 1, 0),
        ("profile: strict", 1, 2),
        ("rules: {edge-plaintext: {severity: critical}}", 1, 2),
        ("rules: {mesh-without-tls: {enabled: false}}", 0, 2),
        ("modes: {rules: {gateway-listener-without-tls: observe}}", 1, 2),
    ] {
        let case = by("mesh-without-tls", policy);
        let found = rules_of(&case);
        let count = |rule: &str| found.iter().filter(|found| **found == rule).count();
        assert_eq!((count("mesh-without-tls"), count("edge-plaintext")), (mesh, calls), "{policy}");
        let each = judge_each(&case.mesh, &case.readings, &case.policy, case.now).findings;
        let calls = each.iter().filter(|finding| finding.rule.as_str() == "edge-plaintext").count();
        assert_eq!(calls, 2, "the evaluation of one change has each call: {policy}");
    }
    let found = rules_of(&by("edge-plaintext", ""));
    assert!(found.contains(&"edge-plaintext") && !found.contains(&"mesh-without-tls"), "{found:?}");
}

#[test]
fn severity_by_effect_yields_to_the_policy() {
    let text = text_of("route-kind-other-than-router", "fails")
        .unwrap()
        .replace("http2Route:\n      match: {prefix: /}", "tcpRoute:");
    for (policy, expected) in
        [("", Severity::Critical), ("rules: {route-kind-other-than-router: {severity: low}}", Severity::Low)]
    {
        let mut case = Case::read(&text);
        case.policy = Policy::read(&format!("version: 1\n{policy}")).unwrap();
        let found = case.judge().findings;
        let kind = found.iter().find(|finding| finding.rule.as_str() == "route-kind-other-than-router").unwrap();
        assert_eq!(kind.severity, expected, "{policy}");
    }
}

#[test]
fn attributes_are_compared_with_the_instances_that_are_known() {
    let instance = |version: &str| [("version".to_owned(), version.to_owned())].into();
    let service = |name: &str, versions: &[&str]| ServiceInstances {
        namespace: "shop.local".to_owned(),
        service: name.to_owned(),
        attributes: versions.iter().map(|version| instance(version)).collect(),
    };
    for (instances, expected) in [
        (vec![], false),
        (vec![service("a", &[])], false),
        (vec![service("a", &["v2", "v1"])], false),
        (vec![service("b", &["v2"])], false),
        (vec![service("a", &["v2", "v3"])], true),
    ] {
        let mut case = Case::read(&text_of("discovery-matches-no-instance", "passes").unwrap());
        case.readings.instances = instances;
        assert_eq!(
            rules_of(&case).contains(&"discovery-matches-no-instance"),
            expected,
            "{:?}",
            case.readings.instances
        );
    }
}

#[test]
fn quotas_are_as_in_the_policy() {
    let backends = |policy: &str| {
        let policy = Policy::read(&format!("version: 1\n{policy}")).unwrap();
        policy.quotas.quota(policy.quotas.backends_per_node, 50)
    };
    assert_eq!(backends(""), None);
    assert_eq!(backends("quotas: {headroom: 70}"), None);
    assert_eq!(backends("quotas: {backendsPerNode: 7}"), Some(7));
    assert_eq!(backends("quotas: {defaults: aws}"), Some(50));
    assert_eq!(backends("quotas: {defaults: aws, backendsPerNode: 7}"), Some(7));
    let name = RuleName::try_from("quota-near".to_owned()).unwrap();
    assert!(is_evaluated(rule_named(name).unwrap(), &Policy::built_in().unwrap()));
}

#[test]
fn plain_http_on_a_known_port_is_found_until_every_caller_uses_tls() {
    let fails = text_of("listener-protocol-unlike-port", "fails").unwrap();
    let of = |from: &str, to: &str| {
        rules_of(&Case::read(&fails.replace(from, to))).contains(&"listener-protocol-unlike-port")
    };
    for port in ["443", "8443", "5432", "3306", "6379", "25", "27017"] {
        assert!(of("port: 443", &format!("port: {port}")), "{port}");
    }
    for port in ["80", "8080", "9080", "3000", "50051"] {
        assert!(!of("port: 443", &format!("port: {port}")), "{port}");
    }
    assert!(of("protocol: http", "protocol: http2") && of("protocol: http", "protocol: grpc"));
    assert!(!of("protocol: http", "protocol: tcp"));
    // A database remains one with TLS.
    let passes = text_of("listener-protocol-unlike-port", "passes").unwrap().replace("port: 443", "port: 5432");
    assert!(rules_of(&Case::read(&passes)).contains(&"listener-protocol-unlike-port"));
}
