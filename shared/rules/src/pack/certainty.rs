//! The findings that hold for a mesh of which only a part is known.
//!
//! Files before deploy are often a part of a mesh: the rest is another team's template, or a value is a parameter's.
//! The content of such files is certain. The absence of a resource, and the value of an unset parameter, are unknown, and an
//! unknown never leads to a finding.

use serde_json::Value;

use super::finding::Finding;
use mesh::name::ResourcePath;

/// Rules that find a missing resource, or a missing reference to one.
const MISSING_RESOURCE_RULES: [&str; 10] = [
    "gateway-without-routes",
    "manifest-gateway-missing",
    "manifest-mesh-missing",
    "mesh-empty",
    "node-unused",
    "reference-dangling",
    "route-unreachable",
    "router-unused",
    "router-without-routes",
    "service-unused",
];

/// Rules that evaluate the text of a name or a value, and not the resource behind it.
const TEXT_RULES: [&str; 8] = [
    "call-across-environments",
    "egress-host-not-allowed",
    "environments-mixed",
    "mesh-egress-open",
    "name-pattern",
    "reference-dangling",
    "service-name-no-host",
    "tag-value",
];

/// Rules that evaluate a value, for any name of the resource.
const VALUE_RULES: [&str; 1] = ["spec-refused"];

/// The completeness of the known part of a mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certainty<'t> {
    /// Whether all of its resources are known.
    pub is_whole: bool,
    /// Texts that stand in for unknown values.
    pub stand_ins: Vec<&'t str>,
}

impl Certainty<'_> {
    /// Whether a finding holds for every value of the unknown parts.
    #[must_use]
    pub fn is_sure_of(&self, finding: &Finding) -> bool {
        let rule = finding.rule.as_str();
        let is_missing = !self.is_whole && MISSING_RESOURCE_RULES.contains(&rule);
        let is_open = TEXT_RULES.contains(&rule) && {
            // The name of the mesh has no effect on findings about its resources.
            let mesh = ResourcePath::Mesh(finding.resource.mesh().clone()).to_string();
            self.is_open(finding.resource.name()) || finding.facts.values().any(|fact| self.has_open(fact, &mesh))
        };
        // The fact that names the resource of the listeners has no effect on the violation.
        let values = || finding.facts.iter().filter(|(name, _)| *name != "listenersOf").map(|(_, fact)| fact);
        let is_of_open_value = VALUE_RULES.contains(&rule) && values().any(|fact| self.has_open(fact, ""));
        !is_missing && !is_open && !is_of_open_value
    }

    fn has_open(&self, fact: &Value, mesh: &str) -> bool {
        match fact {
            Value::String(text) => self.is_open(text.strip_prefix(mesh).unwrap_or(text)),
            Value::Array(items) => items.iter().any(|item| self.has_open(item, mesh)),
            Value::Object(members) => {
                members.iter().any(|(name, value)| self.is_open(name) || self.has_open(value, mesh))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn is_open(&self, text: &str) -> bool {
        self.stand_ins.iter().any(|stand_in| text.contains(stand_in))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pack::{RuleName, rules};

    #[test]
    fn every_named_rule_exists() {
        for name in MISSING_RESOURCE_RULES.iter().chain(&TEXT_RULES).chain(&VALUE_RULES) {
            assert!(rules().any(|rule| rule.id == *name), "{name}");
        }
    }

    #[test]
    fn unknown_part_is_not_a_finding() {
        let finding = |rule: &str, facts: Value| Finding {
            rule: RuleName::try_from(rule.to_owned()).unwrap(),
            severity: crate::pack::Severity::High,
            resource: ResourcePath::parse("mesh/${Env}/virtualService/web.${Env}").unwrap(),
            part: String::new(),
            facts: serde_json::from_value(facts).unwrap(),
            message: String::new(),
            remediation: None,
        };
        let of = |is_whole, stand_ins: &[&'static str]| Certainty { is_whole, stand_ins: stand_ins.to_vec() };
        for (rule, facts, certainty, expected) in [
            ("reference-dangling", json!({"to": "mesh/m/virtualNode/a"}), of(true, &[]), true),
            ("reference-dangling", json!({"to": "mesh/m/virtualNode/a"}), of(false, &[]), false),
            ("reference-dangling", json!({"to": "mesh/m/virtualNode/$NODE"}), of(true, &["$NODE"]), false),
            ("reference-dangling", json!({"to": "mesh/${Env}/virtualNode/a"}), of(true, &["${Env}-x"]), true),
            ("node-unused", json!({}), of(false, &[]), false),
            ("edge-plaintext", json!({"service": "a.${Domain}"}), of(false, &["${Domain}"]), true),
            ("mesh-egress-open", json!({"egressFilter": "${Fn::If X}"}), of(true, &["${Fn::If X}"]), false),
            ("mesh-egress-open", json!({"egressFilter": "ALLOW_ALL"}), of(true, &["${Fn::If X}"]), true),
            ("service-name-no-host", json!({}), of(true, &["${Env}"]), false),
            ("tag-value", json!({"values": [{"deep": "${Stage}"}]}), of(true, &["${Stage}"]), false),
            (
                "spec-refused",
                json!({"violations": ["is `${Protocol}`, must be http"]}),
                of(true, &["${Protocol}"]),
                false,
            ),
            ("spec-refused", json!({"violations": ["is `https`, must be http"]}), of(true, &["${Env}"]), true),
        ] {
            assert_eq!(certainty.is_sure_of(&finding(rule, facts.clone())), expected, "{rule} {facts}");
        }
    }
}
