//! Writes findings as SARIF 2.1.0, the format that code scanning reads.

use serde_json::{Map, Value, json};

use rules::pack::{Finding, Rule, Severity, rules};

/// A finding and its place in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct LocatedFinding<'f> {
    /// The finding at this place.
    pub finding: &'f Finding,
    /// The place; `None` for a finding in no file, as in a mesh that was read from its API.
    pub place: Option<FileLine>,
    /// Whether a waiver of the policy allows the finding for now.
    pub waived: bool,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    /// The path of the file, relative to the directory where the run started, with `/` as separator.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// A notification about the run rather than about a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The severity of the notification. An error means that the run is not complete.
    pub level: Level,
    /// The text of the notification.
    pub message: String,
    /// The place; `None` for a notification about no place in a file.
    pub place: Option<FileLine>,
}

/// SARIF's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Information that needs no action.
    Note,
    /// A problem that should be fixed.
    Warning,
    /// A failure that makes the run incomplete.
    Error,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info | Severity::Low => Self::Note,
            Severity::Medium => Self::Warning,
            Severity::High | Severity::Critical => Self::Error,
        }
    }
}

/// A log of one run with all rules, including those without findings.
#[must_use]
pub fn log(version: &str, results: &[LocatedFinding<'_>], notifications: &[Notification]) -> Value {
    let complete = notifications.iter().all(|notification| notification.level != Level::Error);
    let encoded = |Notification { level, message, place }: &Notification| {
        let locations: Vec<Value> =
            place.iter().map(|place| json!({"physicalLocation": physical_location(place)})).collect();
        let mut encoded = json!({"level": level.as_str(), "message": {"text": message}});
        if let (Value::Object(encoded), false) = (&mut encoded, locations.is_empty()) {
            encoded.insert("locations".to_owned(), Value::Array(locations));
        }
        encoded
    };
    let notifications: Vec<Value> = notifications.iter().map(encoded).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "meshwarden",
                "semanticVersion": version,
                "rules": rules().map(rule_descriptor).collect::<Vec<_>>(),
            }},
            "invocations": [{"executionSuccessful": complete, "toolExecutionNotifications": notifications}],
            "columnKind": "utf16CodeUnits",
            "results": results.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn rule_descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.remedy},
        "defaultConfiguration": {"level": Level::from(rule.severity).as_str()},
        "properties": {"tags": [rule.group], "security-severity": score(rule.severity)},
    })
}

/// The score by which code scanning sorts, in the middle of the score range of the severity.
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "0.0",
        Severity::Low => "2.0",
        Severity::Medium => "5.5",
        Severity::High => "8.0",
        Severity::Critical => "9.5",
    }
}

fn result(LocatedFinding { finding, place, waived }: &LocatedFinding<'_>) -> Value {
    let mut result = Map::new();
    let mut member = |name: &str, value: Value| result.insert(name.to_owned(), value);
    member("ruleId", json!(finding.rule.as_str()));
    if let Some(index) = rules().position(|rule| rule.id == finding.rule.as_str()) {
        member("ruleIndex", json!(index));
    }
    member("level", json!(Level::from(finding.severity).as_str()));
    member("message", json!({"text": finding.message}));
    let logical = json!([{
        "name": finding.resource.name(),
        "fullyQualifiedName": finding.resource,
        "kind": "resource",
    }]);
    let mut location = Map::from_iter([("logicalLocations".to_owned(), logical)]);
    if let Some(place) = place {
        location.insert("physicalLocation".to_owned(), physical_location(place));
    }
    member("locations", json!([location]));
    member("partialFingerprints", json!({"findingId/v1": finding.id()}));
    if *waived {
        member("suppressions", json!([{"kind": "external", "justification": "waived by the policy"}]));
    }
    member("properties", json!({"severity": finding.severity, "part": finding.part, "facts": finding.facts}));
    Value::Object(result)
}

fn physical_location(FileLine { file, line }: &FileLine) -> Value {
    json!({"artifactLocation": {"uri": uri(file)}, "region": {"startLine": line}})
}

/// Converts a path into a relative URI.
fn uri(file: &str) -> String {
    let mut uri = String::new();
    for byte in file.strip_prefix("./").unwrap_or(file).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push('%');
            uri.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use mesh::graph::Mesh;
    use mesh::spec::MeshSpec;
    use policy::Policy;
    use rules::pack::evaluate;

    #[test]
    fn every_finding_is_a_result_of_a_rule() {
        let mut mesh = Mesh::new("shop".parse().unwrap());
        mesh.spec = Some(MeshSpec::read(&json!({"egressFilter": {"type": "ALLOW_ALL"}})).unwrap());
        let findings = evaluate(&mesh, &Policy::built_in().unwrap(), Timestamp::UNIX_EPOCH);
        let place = FileLine { file: "./a mesh/ü.yaml".to_owned(), line: 7 };
        let results: Vec<LocatedFinding<'_>> = findings
            .iter()
            .map(|finding| LocatedFinding { finding, place: Some(place.clone()), waived: true })
            .collect();
        let error =
            Notification { level: Level::Error, message: "b.yaml: line 1".to_owned(), place: Some(place.clone()) };
        let log = log("1.2.3", &results, &[error]);
        let run = &log["runs"][0];
        assert_eq!(run["invocations"][0]["executionSuccessful"], false);
        let notified = &run["invocations"][0]["toolExecutionNotifications"][0];
        assert_eq!(notified["locations"][0]["physicalLocation"]["region"]["startLine"], 7);
        let results = run["results"].as_array().unwrap();
        assert!(!results.is_empty(), "an open mesh has a finding");
        assert_eq!(results.len(), findings.len());
        for (result, finding) in results.iter().zip(&findings) {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], finding.rule.as_str());
            let location = &result["locations"][0];
            assert_eq!(location["physicalLocation"]["artifactLocation"]["uri"], "a%20mesh/%c3%bc.yaml");
            assert_eq!(location["physicalLocation"]["region"]["startLine"], 7);
            assert_eq!(location["logicalLocations"][0]["fullyQualifiedName"], finding.resource.to_string());
            assert_eq!(result["partialFingerprints"]["findingId/v1"], finding.id().as_str());
            assert_eq!(result["suppressions"][0]["kind"], "external");
        }
    }
}
