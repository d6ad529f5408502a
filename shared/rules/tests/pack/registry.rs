//! Every rule of the registry, by its inputs.

use std::collections::{BTreeMap, BTreeSet};

use rules::pack::{Finding, Group, rules};

use super::case::{self, Case};

#[test]
fn every_rule_has_a_failing_and_a_passing_input() {
    let mut wrong = Vec::new();
    for rule in rules() {
        for verdict in ["fails", "passes"] {
            let Some(text) = case::text_of(rule.id, verdict) else {
                wrong.push(format!("{} has no {verdict} input", rule.id));
                continue;
            };
            let found = Case::read(&text).judge().findings;
            let own: Vec<&Finding> = found.iter().filter(|finding| finding.rule == rule.name()).collect();
            if own.is_empty() == (verdict == "fails") {
                wrong.push(format!("{} {verdict}: {own:?}", rule.id));
            }
            for finding in own {
                assert!(rule.on.contains(&finding.resource.kind()), "{} on {}", rule.id, finding.resource);
                assert_eq!(finding.severity, rule.severity, "{}", rule.id);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_input_belongs_to_a_rule() {
    let ids: BTreeSet<&str> = rules().map(|rule| rule.id).collect();
    for (name, _) in case::all() {
        let rule = name.strip_suffix(".fails.yaml").or_else(|| name.strip_suffix(".passes.yaml"));
        assert!(rule.is_some_and(|rule| ids.contains(rule)), "{name}");
    }
}

#[test]
fn findings_of_each_rule_are_as_stored() {
    let mut all = BTreeMap::new();
    for rule in rules() {
        let found = Case::read(&case::text_of(rule.id, "fails").unwrap()).judge().findings;
        let own: Vec<Finding> = found.into_iter().filter(|finding| finding.rule == rule.name()).collect();
        all.insert(rule.id, own);
    }
    case::golden("tests/pack/findings.json", &format!("{}\n", serde_json::to_string_pretty(&all).unwrap()));
}

/// Each rule is independent: disabling it removes exactly its findings from its failing input. They are kept in a file
/// that a test compares.
#[test]
fn disabling_a_rule_removes_its_findings_only() {
    let kept = include_str!("findings.json");
    let kept: BTreeMap<String, Vec<Finding>> = serde_json::from_str(kept).unwrap();
    for rule in rules() {
        let mut case = Case::read(&case::text_of(rule.id, "fails").unwrap());
        let with = case.judge();
        case.policy.rules.entry(rule.name()).or_default().enabled = Some(false);
        let without = case.judge();
        let (own, others): (Vec<Finding>, Vec<Finding>) =
            with.findings.into_iter().partition(|finding| finding.rule == rule.name());
        assert!(!own.is_empty(), "{} has no finding on its failing input", rule.id);
        assert_eq!(without.findings, others, "{}", rule.id);
        assert_eq!(kept.get(rule.id), Some(&own), "{}", rule.id);
    }
    assert_eq!(kept.len(), rules().count());
}

/// A caller that could not read certificates must not count the findings of these rules as resolved.
#[test]
fn rules_that_require_certificates_are_known() {
    let mut silent = BTreeSet::new();
    for (_, mut case) in case::all() {
        let with: BTreeSet<_> = case.judge().findings.iter().map(|finding| (finding.rule, finding.id())).collect();
        case.readings = mesh::certificates::Readings::default();
        let without: BTreeSet<_> = case.judge().findings.iter().map(|finding| (finding.rule, finding.id())).collect();
        silent.extend(with.difference(&without).map(|(rule, _)| *rule));
    }
    // This rule reports unread certificates, which is not a fact about a certificate.
    silent.retain(|rule| rule.as_str() != "certificate-unread");
    let resting: BTreeSet<_> = rules().filter(|rule| rule.rests_on_certificates).map(rules::pack::Rule::name).collect();
    assert_eq!(silent, resting);
}

#[test]
fn rules_are_described_in_full() {
    let mut ids = BTreeSet::new();
    let mut groups = Vec::new();
    for rule in rules() {
        assert!(ids.insert(rule.id), "{} is registered twice", rule.id);
        assert!(rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        for text in [rule.why, rule.remedy] {
            assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", rule.id);
        }
        assert!(!rule.title.is_empty() && !rule.title.ends_with('.'), "{}", rule.id);
        assert!(!rule.on.is_empty(), "{}", rule.id);
        if groups.last() != Some(&rule.group) {
            groups.push(rule.group);
        }
    }
    let distinct: BTreeSet<Group> = groups.iter().copied().collect();
    assert_eq!(groups.len(), distinct.len(), "the rules of a group are adjacent: {groups:?}");
    assert_eq!(distinct.len(), 14, "every group has a rule");
}

/// The managed rules of AWS Config for App Mesh. Each has a counterpart in the pack.
const MANAGED: [&str; 19] = [
    "appmesh-gateway-route-tagged",
    "appmesh-mesh-deny-tcp-forwarding",
    "appmesh-mesh-ip-pref-check",
    "appmesh-mesh-tagged",
    "appmesh-route-tagged",
    "appmesh-virtual-gateway-backend-defaults-tls",
    "appmesh-virtual-gateway-listeners-health-check-enabled",
    "appmesh-virtual-gateway-logging-file-path-exists",
    "appmesh-virtual-gateway-tagged",
    "appmesh-virtual-node-backend-defaults-tls-on",
    "appmesh-virtual-node-cloud-map-ip-pref-check",
    "appmesh-virtual-node-dns-ip-pref-check",
    "appmesh-virtual-node-listeners-health-check-enabled",
    "appmesh-virtual-node-listeners-outlier-detect-enabled",
    "appmesh-virtual-node-logging-file-path-exists",
    "appmesh-virtual-node-service-backends-tls-enforced",
    "appmesh-virtual-node-tagged",
    "appmesh-virtual-router-tagged",
    "appmesh-virtual-service-tagged",
];

#[test]
fn all_managed_rules_are_covered() {
    let covered: BTreeSet<&str> = rules().flat_map(|rule| rule.managed).copied().collect();
    assert_eq!(covered.into_iter().collect::<Vec<_>>(), MANAGED);
}

#[test]
fn findings_are_data() {
    for (name, case) in case::all() {
        for finding in case.judge().findings {
            let text = serde_json::to_string(&finding).unwrap();
            assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding, "{name}");
            assert!(!text.contains("\"arn\":"), "{text}");
        }
    }
}

#[test]
fn finding_id_is_stable() {
    let found = Case::read(&case::text_of("mesh-egress-open", "fails").unwrap()).judge().findings;
    let open = found.iter().find(|finding| finding.rule.as_str() == "mesh-egress-open").unwrap();
    assert_eq!(open.id().as_str(), "fd1d0ff1cb14063b", "stored findings of earlier releases depend on it");
    let ids: BTreeSet<_> = found.iter().map(Finding::id).collect();
    assert_eq!(ids.len(), found.len(), "each finding has a unique id");
}
