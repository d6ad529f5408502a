//! What is written from the code.

use mesh::pack::documentation;
use mesh::policy::{Policy, Protection, RuleId};

use super::case::golden;

#[test]
fn the_rules_are_documented_as_they_are() {
    golden("../../infra/policy/rules.md", &documentation());
}

#[test]
fn the_schema_is_that_of_the_types() {
    let schema = serde_json::to_string_pretty(&Policy::schema()).unwrap();
    golden("../../infra/policy/policy.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_default_document_says_what_holds_without_it() {
    let (written, bare) = (Policy::built_in().unwrap(), Policy::read("version: 1").unwrap());
    assert_eq!(written, bare);
    assert_eq!(bare.tls.require, Protection::Tls);
}

#[test]
fn the_schema_knows_every_rule_and_refuses_what_the_reader_refuses() {
    let schema = Policy::schema().to_string();
    for rule in mesh::pack::rules() {
        assert!(schema.contains(&format!("\"{}\"", rule.id)), "{}", rule.id);
    }
    assert!(schema.contains("\"additionalProperties\":false"));
    assert_eq!(RuleId::RouteFailover.as_str(), "route-failover");
    assert!(schema.contains("\"route-failover\""));
}

#[test]
fn rules_are_set_by_the_policy() {
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
