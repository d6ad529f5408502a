//! SARIF 2.1.0 (OASIS), as code scanning of pipelines takes it.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::ResourcePath;
use mesh::pack::{Finding, Group, Rule, RuleName, Severity};
use serde_json::{Value, json};

/// Where a resource was read from, for findings in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, relative to the root of what is checked, with `/` between its parts.
    pub file: String,
    /// The line in it, from 1, where it is known.
    pub line: Option<u32>,
}

/// Findings as one run of the tool. `sources` tells which file a resource stands in; those without one, as in a mesh
/// that was read by the API, have a logical location only.
#[must_use]
pub fn sarif(findings: &[Finding], version: &str, sources: &BTreeMap<ResourcePath, Source>) -> Value {
    let names: BTreeSet<RuleName> = findings.iter().map(|finding| finding.rule).collect();
    let indexes: BTreeMap<RuleName, usize> = names.iter().copied().zip(0..).collect();
    let rules: Vec<Value> = names.iter().filter_map(|name| name.rule()).map(rule).collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, &indexes, sources)).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "Meshwarden", "semanticVersion": version, "rules": rules}},
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    })
}

fn rule(rule: &Rule) -> Value {
    let group = serde_json::to_value(rule.group).unwrap_or_default();
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.mend},
        "defaultConfiguration": {"level": level(rule.severity)},
        "properties": {
            "tags": [group],
            "security-severity": security_severity(rule),
        },
    })
}

fn result(finding: &Finding, indexes: &BTreeMap<RuleName, usize>, sources: &BTreeMap<ResourcePath, Source>) -> Value {
    let mut location = json!({
        "logicalLocations": [{
            "name": finding.resource.name(),
            "fullyQualifiedName": finding.resource.to_string(),
            "kind": "resource",
        }],
    });
    if let Some(source) = sources.get(&finding.resource) {
        let mut physical = json!({"artifactLocation": {"uri": source.file, "uriBaseId": "%SRCROOT%"}});
        // Code scanning shows a finding only where it has a line.
        physical["region"] = json!({"startLine": source.line.unwrap_or(1)});
        location["physicalLocation"] = physical;
    }
    json!({
        "ruleId": finding.rule,
        "ruleIndex": indexes.get(&finding.rule),
        "level": level(finding.severity),
        "message": {"text": format!("{}: {}", finding.resource, finding.message)},
        "locations": [location],
        "partialFingerprints": {"meshwardenFinding/v1": finding.id()},
        "properties": {"severity": finding.severity, "facts": finding.facts},
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// GitHub's scale of 0 to 10, by which it ranks what concerns security; a rule that doesn't has none.
fn security_severity(rule: &Rule) -> Option<&'static str> {
    let concerns_security = matches!(rule.group, Group::Egress | Group::Tls | Group::Certificates | Group::Naming);
    concerns_security.then_some(match rule.severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "3.0",
        Severity::Info => "1.0",
    })
}
