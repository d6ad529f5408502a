//! Documents that are generated from the code.

use policy::{Policy, Protection, RuleId};
use rules::pack::documentation;

use super::case::golden;

#[test]
fn rules_document_is_current() {
    golden("../../infra/policy/rules.md", &documentation());
}

#[test]
fn policy_schema_is_current() {
    let schema = serde_json::to_string_pretty(&Policy::schema()).unwrap();
    golden("../../infra/policy/policy.schema.json", &format!("{schema}\n"));
}

#[test]
fn default_document_equals_the_defaults() {
    let (written, bare) = (Policy::built_in().unwrap(), Policy::read("version: 1").unwrap());
    assert_eq!(written, bare);
    assert_eq!(bare.tls.require, Protection::Tls);
}

#[test]
fn schema_and_reader_refuse_the_same() {
    let schema = Policy::schema().to_string();
    for rule in rules::pack::rules() {
        assert!(schema.contains(&format!("\"{}\"", rule.id)), "{}", rule.id);
    }
    assert!(schema.contains("\"additionalProperties\":false"));
    assert_eq!(RuleId::RouteFailover.as_str(), "route-failover");
    assert!(schema.contains("\"route-failover\""));
}

#[test]
fn policy_configures_rules() {
    use super::case::{Case, text_of};
    let text = text_of("route-drained", "fails").unwrap();
    let severity = |policy: &str| {
        let mut case = Case::read(&text);
        case.policy = Policy::read(policy).unwrap();
        let found = case.judge().findings;
        found.into_iter().find(|finding| finding.rule.as_str() == "route-drained").map(|finding| finding.severity)
    };
    assert_eq!(severity("version: 1").unwrap().to_string(), "high");
    assert_eq!(severity("version: 1\nrules: {route-drained: {severity: info}}").unwrap().to_string(), "info");
    assert_eq!(severity("version: 1\nrules: {route-drained: {enabled: false}}"), None);
    let error = Policy::read("version: 1\nrules: {route-draind: {enabled: false}}").unwrap_err();
    assert!(error.problem.contains("did you mean `route-drained`"), "{error}");
    assert_eq!((error.line, error.key.starts_with("rules")), (2, true), "{error}");
}
