//! The log lines and metrics of a report. They are one JSON line per decision, one line in CloudWatch's embedded metric
//! format per invocation, and one more per reason.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::report::{Metric, Report};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Meshwarden";

/// Writes reports as lines. Lambda collects the standard output.
pub struct Emitter(Mutex<Box<dyn Write + Send>>);

impl std::fmt::Debug for Emitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Emitter")
    }
}

impl Emitter {
    /// Creates an emitter that writes to `out`.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(out)))
    }

    /// Creates an emitter that writes to the standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::to(io::stdout())
    }

    /// Writes the report's lines at once, so that lines of other invocations do not get between them.
    pub fn emit(&self, report: &Report, request_id: &str, now: Timestamp) -> io::Result<()> {
        self.write(&lines(report, request_id, now))
    }

    /// Writes the number of denied calls of a process that failed to start. The process handled no event, so this does
    /// not count as a run.
    pub fn emit_failed_start(&self, function: &str, calls_denied: u32, now: Timestamp) -> io::Result<()> {
        self.write(&[json!({
            "_aws": metrics(now, &["Function"], &[("CallsDenied", "Count")]),
            "Function": function,
            "CallsDenied": calls_denied,
        })])
    }

    fn write(&self, lines: &[Value]) -> io::Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

fn lines(report: &Report, request_id: &str, now: Timestamp) -> Vec<Value> {
    let mut lines = Vec::new();
    for decision in &report.decisions {
        lines.push(json!({
            "timestamp": now.to_string(),
            "level": "INFO",
            "message": "decision",
            "function": report.function,
            "requestId": request_id,
            "decision": decision,
        }));
    }
    lines.push(invocation(report, request_id, now));
    for (reason, count) in report.reasons() {
        lines.push(json!({
            "_aws": metrics(now, &["Function", "Reason"], &[("Decisions", "Count")]),
            "Function": report.function,
            "Reason": reason,
            "Decisions": count,
        }));
    }
    lines.extend(report.metrics.iter().map(|metric| own(metric, now)));
    // Metrics of all functions, written only if there is something to count: most accounts never pay for them.
    let rare = [
        ("PagesWithheld", report.signals.pages_withheld),
        ("PolicyUnavailable", u32::from(report.signals.policy_unavailable)),
    ];
    for (name, count) in rare.into_iter().filter(|(_, count)| *count > 0) {
        lines.push(json!({
            "_aws": metrics(now, &[], &[(name, "Count")]),
            name: count,
            "function": report.function,
            "requestId": request_id,
        }));
    }
    lines
}

fn own(metric: &Metric, now: Timestamp) -> Value {
    let names: Vec<&str> = metric.dimensions.iter().map(|(name, _)| *name).collect();
    let mut line = Map::from_iter([("_aws".to_owned(), metrics(now, &names, &[(metric.name, metric.unit)]))]);
    line.extend(metric.dimensions.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
    line.insert(metric.name.to_owned(), metric.value.into());
    Value::Object(line)
}

fn invocation(report: &Report, request_id: &str, now: Timestamp) -> Value {
    const METRICS: [(&str, &str); 8] = [
        ("Invocations", "Count"),
        ("Decisions", "Count"),
        ("HoldsDuringAlarm", "Count"),
        ("Overwrote", "Count"),
        ("KillSwitchOn", "Count"),
        ("PolicyRejected", "Count"),
        ("CallsDenied", "Count"),
        ("TookMs", "Milliseconds"),
    ];
    json!({
        "_aws": metrics(now, &["Function"], &METRICS),
        "Function": report.function,
        "Invocations": u8::from(!report.signals.observed_nothing),
        "Decisions": report.decisions.len(),
        "HoldsDuringAlarm": report.signals.holds_during_alarm,
        "Overwrote": report.signals.overwrote,
        "KillSwitchOn": u8::from(report.signals.kill_switch_on),
        "PolicyRejected": u8::from(report.signals.policy_rejected),
        "CallsDenied": report.signals.calls_denied,
        "TookMs": report.took_ms,
        "requestId": request_id,
        "wake": report.triggers,
    })
}

/// The `_aws` member, which makes CloudWatch Logs extract metrics from a line.
fn metrics(now: Timestamp, dimensions: &[&str], metrics: &[(&str, &str)]) -> Value {
    let metrics: Vec<_> = metrics.iter().map(|(name, unit)| json!({ "Name": name, "Unit": unit })).collect();
    json!({
        "Timestamp": now.as_millisecond(),
        "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics }],
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::events::Payload;
    use crate::report::{Decision, Signals};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn decision(reason: &str) -> Decision {
        Decision {
            resource: "mesh/shop/virtualRouter/recs/route/main".into(),
            decision: "hold".into(),
            reason: reason.into(),
            facts: json!({ "until": "2026-11-20T10:05:00Z" }),
            plan: None,
            outcome: None,
        }
    }

    fn emitted(report: &Report) -> Vec<Value> {
        let kept = Kept::default();
        Emitter::to(kept.clone()).emit(report, "r-1", "2026-11-20T10:00:00Z".parse().unwrap()).unwrap();
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn report() -> Report {
        Report {
            function: "route-failover".into(),
            triggers: vec![Payload::Tick],
            took_ms: 42,
            signals: Signals {
                holds_during_alarm: 2,
                overwrote: 1,
                kill_switch_on: true,
                calls_denied: 3,
                ..Signals::default()
            },
            ..Report::new(vec![decision("InsideCooldown"), decision("InsideCooldown"), decision("NoRoute")])
        }
    }

    #[test]
    fn a_line_for_each_decision_names_resource_reason_and_facts() {
        let lines = emitted(&report());
        let decisions: Vec<_> = lines.iter().filter(|line| line["message"] == "decision").collect();
        assert_eq!(decisions.len(), 3);
        assert_eq!(decisions[2]["decision"]["reason"], "NoRoute");
        assert_eq!(decisions[0]["decision"]["facts"]["until"], "2026-11-20T10:05:00Z");
        assert_eq!(decisions[0]["requestId"], "r-1");
        assert_eq!(decisions[0]["function"], "route-failover");
    }

    #[test]
    fn every_metric_that_is_declared_has_a_number_and_every_dimension_a_text() {
        let mut declared = 0;
        for line in emitted(&report()).iter().filter(|line| line.get("_aws").is_some()) {
            assert_eq!(line["_aws"]["Timestamp"], 1_795_168_800_000_i64);
            let group = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(group["Namespace"], "Meshwarden");
            for metric in group["Metrics"].as_array().unwrap() {
                declared += 1;
                assert!(line[metric["Name"].as_str().unwrap()].is_u64(), "{metric}");
            }
            for dimension in group["Dimensions"][0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
            }
        }
        assert_eq!(declared, 8 + 2);
    }

    #[test]
    fn failed_start_is_no_run_and_counts_what_was_denied() {
        let kept = Kept::default();
        let now = "2026-11-20T10:00:00Z".parse().unwrap();
        Emitter::to(kept.clone()).emit_failed_start("route-failover", 2, now).unwrap();
        let line: Value = serde_json::from_slice(&kept.0.lock().unwrap()).unwrap();
        assert_eq!((&line["CallsDenied"], &line["Function"]), (&json!(2), &json!("route-failover")));
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["Function"]]));
        assert!(line.get("Invocations").is_none(), "{line}");
    }

    #[test]
    fn rare_signals_are_metrics_of_all_functions() {
        let signals = Signals { pages_withheld: 2, policy_unavailable: true, ..Signals::default() };
        let with = Report { signals, ..report() };
        for (name, count) in [("PagesWithheld", 2), ("PolicyUnavailable", 1)] {
            let line = |report: &Report| emitted(report).into_iter().find(|line| line.get(name).is_some());
            let line_with = line(&with).unwrap();
            assert_eq!(line_with[name], count);
            assert_eq!(line_with["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
            assert_eq!(line(&report()), None);
        }
    }

    #[test]
    fn the_invocation_line_counts() {
        let lines = emitted(&report());
        let line = lines.iter().find(|line| line.get("Invocations").is_some()).unwrap();
        for (metric, expected) in [
            ("Invocations", 1),
            ("Decisions", 3),
            ("HoldsDuringAlarm", 2),
            ("Overwrote", 1),
            ("KillSwitchOn", 1),
            ("PolicyRejected", 0),
            ("TookMs", 42),
        ] {
            assert_eq!(line[metric], expected, "{metric}");
        }
        let by_reason: Vec<_> =
            lines.iter().filter_map(|line| Some((line.get("Reason")?, &line["Decisions"]))).collect();
        assert_eq!(by_reason, [(&json!("InsideCooldown"), &json!(2)), (&json!("NoRoute"), &json!(1))]);
    }
}
