//! The decisions of route-failover, from its log.

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
    /// The decision in a line of the log; most lines have none.
    pub(super) fn parse_line(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        Self::deserialize(line.get("decision")?).ok()
    }

    /// The decision in one sentence, with its facts.
    pub(super) fn sentence(&self) -> String {
        let Self { verdict, reason, .. } = self;
        format!("route-failover: {verdict}, {reason}: {}.", self.explanation().unwrap_or_else(|| self.list_facts()))
    }

    fn explanation(&self) -> Option<String> {
        let fact = |name: &str| self.facts.get(name).map(plain);
        let returning = || {
            let returning = self.facts.pointer("/returning/0")?;
            Some((plain(returning.get("node")?), plain(returning.get("step")?)))
        };
        let text = match self.reason.as_str() {
            "Failover" => format!("{} fails by {}; its share goes to others", fact("failing")?, fact("alarms")?),
            "AlreadyShifted" => format!("{} is drained already", fact("drained")?),
            "InsideDwell" => format!("{} is quiet, but stays drained until {}", fact("node")?, fact("until")?),
            "Failback" => match returning()? {
                (node, step) if step == "0" => format!("{node} is tried with the probe share"),
                (node, step) => format!("{node} advances to step {step}"),
            },
            "InsideStep" => {
                format!("{} is watched at step {} until {}", fact("node")?, fact("step")?, fact("until")?)
            }
            // There is enough data, so only the alarm's state is outdated.
            "Unproven" if fact("seen")? == fact("needed")? => {
                format!("{} has its data points of this step, but its alarm is not OK yet", fact("node")?)
            }
            "Unproven" => format!(
                "{} has {} of {} data points in this step, and missing data is not health",
                fact("node")?,
                fact("seen")?,
                fact("needed")?
            ),
            "Restore" => format!("{} has recovered, and the original weights are restored", fact("returned")?),
            "PersonEdited" => {
                format!("an operator set the weights, which stay until {} or until they are released", fact("until")?)
            }
            "CommonCause" => format!("{} fail together, so the cause is elsewhere", fact("failing")?),
            _ => return None,
        };
        Some(text)
    }

    fn list_facts(&self) -> String {
        let facts = self.facts.as_object().into_iter().flatten();
        facts.map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join("; ")
    }
}

/// A value as plain text; of a timestamp, the time in seconds.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => match text.split_once('T') {
            Some((day, time)) if day.len() == 10 && time.ends_with('Z') => time.chars().take(8).collect(),
            _ => text.clone(),
        },
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_lines_of_the_log_have_no_decision() {
        let line = r#"{"message":"decision","decision":{"resource":"r","decision":"hold","reason":"InsideDwell",
            "facts":{"reason":"InsideDwell","node":"catalog-v1","until":"2026-11-20T12:00:07.5Z"}}}"#;
        let decision = Decision::parse_line(line).unwrap();
        assert_eq!(
            decision.sentence(),
            "route-failover: hold, InsideDwell: catalog-v1 is quiet, but stays drained until 12:00:07."
        );
        for other in ["START RequestId: 1", r#"{"Invocations":1}"#, ""] {
            assert!(Decision::parse_line(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_reason_without_an_explanation_is_shown_with_its_facts() {
        let decision = Decision {
            resource: "r".to_owned(),
            verdict: "hold".to_owned(),
            reason: "BudgetSpent".to_owned(),
            facts: serde_json::json!({"used": 20, "cap": 20}),
        };
        assert_eq!(decision.sentence(), "route-failover: hold, BudgetSpent: used 20; cap 20.");
    }
}
