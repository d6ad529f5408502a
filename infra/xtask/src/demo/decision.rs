//! What route-failover said, from its log.

use serde::Deserialize;
use serde_json::Value;

/// One decision.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Decision {
    pub(super) resource: String,
    #[serde(rename = "decision")]
    pub(super) verdict: String,
    pub(super) reason: String,
    #[serde(default)]
    pub(super) facts: Value,
}

impl Decision {
    /// The decision that a line of the log holds; most lines hold none.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        Self::deserialize(line.get("decision")?).ok()
    }

    /// The decision in one line, with what it rests on.
    pub(super) fn line(&self) -> String {
        let facts = self.facts.as_object().into_iter().flatten();
        let facts: Vec<String> = facts
            .filter(|(name, _)| *name != "reason")
            .map(|(name, value)| format!("{name}: {}", plain(value)))
            .collect();
        let facts = if facts.is_empty() {
            String::new()
        } else {
            format!(" ({})", facts.join("; "))
        };
        format!("route-failover: {}, {}{facts}", self.verdict, self.reason)
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_a_decision_or_nothing() {
        let line = r#"{"message":"decision","decision":{"resource":"r","decision":"hold","reason":"InsideDwell",
            "facts":{"reason":"InsideDwell","node":"catalog-v1","until":"12:00"}}}"#;
        let decision = Decision::of_line(line).unwrap();
        assert_eq!(
            decision.line(),
            "route-failover: hold, InsideDwell (node: catalog-v1; until: 12:00)"
        );
        for other in ["START RequestId: 1", r#"{"Invocations":1}"#, ""] {
            assert!(Decision::of_line(other).is_none(), "{other}");
        }
    }
}
