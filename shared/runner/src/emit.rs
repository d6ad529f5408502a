//! The log lines and metrics of a report. They are one JSON line per decision, one line in CloudWatch's embedded metric
//! format per invocation, and one more per reason.
//!
//! CloudWatch bills each combination of metric and dimensions for every hour in which it is published. So the heartbeat
//! `Invocations` is the only metric of each run; the others are declared only while they are not 0. A line has every
//! value as a member in any case.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::report::{Metric, Report};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Meshwarden";

/// The dimension that keeps the metrics of several stacks in one account apart.
const STACK: &str = "Stack";

/// Writes reports as lines. Lambda collects the standard output.
pub struct Emitter {
    out: Mutex<Box<dyn Write + Send>>,
    /// The name of the stack; `None` outside one, where metrics lack the dimension.
    stack: Option<String>,
}

impl std::fmt::Debug for Emitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Emitter")
    }
}

impl Emitter {
    /// Creates an emitter that writes to `out`.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self { out: Mutex::new(Box::new(out)), stack: None }
    }

    /// Adds the dimension `Stack` with this name to every metric.
    #[must_use]
    pub fn with_stack(mut self, stack: Option<String>) -> Self {
        self.stack = stack;
        self
    }

    /// Creates an emitter that writes to the standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::to(io::stdout())
    }

    /// Writes the report's lines at once, so that lines of other invocations do not get between them.
    pub fn emit(&self, report: &Report, request_id: &str, now: Timestamp) -> io::Result<()> {
        self.write(lines(report, request_id, now))
    }

    /// Writes the number of denied calls of a process that failed to start. The process handled no event, so this does
    /// not count as a run.
    pub fn emit_failed_start(&self, function: &str, calls_denied: u32, now: Timestamp) -> io::Result<()> {
        self.write(vec![json!({
            "_aws": metrics(now, &[("Count", "CallsDenied", &[&["Function"]])]),
            "Function": function,
            "CallsDenied": calls_denied,
        })])
    }

    fn write(&self, lines: Vec<Value>) -> io::Result<()> {
        let mut text = String::new();
        for mut line in lines {
            if let Some(stack) = &self.stack {
                add_stack(&mut line, stack);
            }
            text.push_str(&line.to_string());
            text.push('\n');
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
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
            "_aws": metrics(now, &[("Count", "Decisions", &[&["Function", "Reason"]])]),
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
            "_aws": metrics(now, &[("Count", name, &[&[]])]),
            name: count,
            "function": report.function,
            "requestId": request_id,
        }));
    }
    lines
}

fn own(metric: &Metric, now: Timestamp) -> Value {
    let names: Vec<&str> = metric.dimensions.iter().map(|(name, _)| *name).collect();
    let declared = metrics(now, &[(metric.unit, metric.name, &[&names])]);
    let mut line = Map::from_iter([("_aws".to_owned(), declared)]);
    line.extend(metric.dimensions.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
    line.insert(metric.name.to_owned(), metric.value.into());
    Value::Object(line)
}

fn invocation(report: &Report, request_id: &str, now: Timestamp) -> Value {
    // Of the function, and of all functions together.
    const OF_BOTH: &[&[&str]] = &[&["Function"], &[]];
    const OF_FUNCTION: &[&[&str]] = &[&["Function"]];
    let signals = &report.signals;
    let is_run = !signals.observed_nothing;
    let counted = [
        ("HoldsDuringAlarm", signals.holds_during_alarm > 0, OF_FUNCTION),
        ("CallsDenied", signals.calls_denied > 0, OF_FUNCTION),
        ("Decisions", !report.decisions.is_empty(), OF_FUNCTION),
        ("Overwrote", signals.overwrote > 0, OF_BOTH),
        ("KillSwitchOn", signals.kill_switch_on, OF_BOTH),
        ("PolicyRejected", signals.policy_rejected, OF_BOTH),
    ];
    let counted = counted.into_iter().filter(|(_, is_counted, _)| *is_counted);
    // A heartbeat that stops is reported by its missing data, so a 0 is as good as none; it is written for the reader.
    let declared: Vec<_> = [("Invocations", OF_FUNCTION)]
        .into_iter()
        .chain(counted.map(|(name, _, dimensions)| (name, dimensions)))
        .map(|(name, dimensions)| ("Count", name, dimensions))
        .collect();
    json!({
        "_aws": metrics(now, &declared),
        "Function": report.function,
        "Invocations": u8::from(is_run),
        "Decisions": report.decisions.len(),
        "HoldsDuringAlarm": signals.holds_during_alarm,
        "Overwrote": signals.overwrote,
        "KillSwitchOn": u8::from(signals.kill_switch_on),
        "PolicyRejected": u8::from(signals.policy_rejected),
        "CallsDenied": signals.calls_denied,
        "TookMs": report.took_ms,
        "requestId": request_id,
        "wake": report.triggers,
    })
}

/// The unit of a metric, its name, and the sets of dimensions with which it is counted.
type Declared<'a> = (&'a str, &'a str, &'a [&'a [&'a str]]);

/// The `_aws` member, which makes CloudWatch Logs extract metrics from a line.
fn metrics(now: Timestamp, declared: &[Declared<'_>]) -> Value {
    let group = |(unit, name, dimensions): &Declared<'_>| {
        json!({
            "Namespace": NAMESPACE,
            "Dimensions": dimensions,
            "Metrics": [{ "Name": name, "Unit": unit }],
        })
    };
    let groups: Vec<_> = declared.iter().map(group).collect();
    json!({ "Timestamp": now.as_millisecond(), "CloudWatchMetrics": groups })
}

/// Adds the dimension `Stack` to each set of dimensions of a line. Lines without metrics stay as they are.
fn add_stack(line: &mut Value, stack: &str) {
    let Some(groups) = line.pointer_mut("/_aws/CloudWatchMetrics").and_then(Value::as_array_mut) else { return };
    let sets = groups.iter_mut().filter_map(|group| group.get_mut("Dimensions")?.as_array_mut()).flatten();
    for set in sets.filter_map(Value::as_array_mut) {
        set.insert(0, STACK.into());
    }
    if let Some(members) = line.as_object_mut() {
        members.insert(STACK.to_owned(), stack.into());
    }
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
            for group in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                assert_eq!(group["Namespace"], "Meshwarden");
                for metric in group["Metrics"].as_array().unwrap() {
                    declared += 1;
                    assert!(line[metric["Name"].as_str().unwrap()].is_u64(), "{metric}");
                }
                for dimension in group["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap())
                {
                    assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension}");
                }
            }
        }
        assert_eq!(declared, 6 + 2);
    }

    /// The metrics that the lines declare, each with its sets of dimensions.
    fn declared(lines: &[Value]) -> Vec<(String, Value)> {
        let groups = lines.iter().filter_map(|line| line["_aws"]["CloudWatchMetrics"].as_array()).flatten();
        groups
            .map(|group| (group["Metrics"][0]["Name"].as_str().unwrap().to_owned(), group["Dimensions"].clone()))
            .collect()
    }

    #[test]
    fn idle_run_publishes_only_the_heartbeat() {
        let idle = Report { function: "route-failover".into(), took_ms: 42, ..Report::new(Vec::new()) };
        let lines = emitted(&idle);
        assert_eq!(declared(&lines), [("Invocations".to_owned(), json!([["Function"]]))]);
        // The log still has every value.
        assert_eq!((&lines[0]["KillSwitchOn"], &lines[0]["TookMs"]), (&json!(0), &json!(42)));
    }

    #[test]
    fn every_metric_of_a_stack_has_its_dimension() {
        let signals = Signals { policy_unavailable: true, ..report().signals };
        let metrics = vec![crate::report::Metric::count("RolloutsStalled", 1, Vec::new())];
        let busy = Report { signals, metrics, ..report() };
        let kept = Kept::default();
        let emitter = Emitter::to(kept.clone()).with_stack(Some("prod".to_owned()));
        emitter.emit(&busy, "r-1", "2026-11-20T10:00:00Z".parse().unwrap()).unwrap();
        emitter.emit_failed_start("route-failover", 2, "2026-11-20T10:00:00Z".parse().unwrap()).unwrap();
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let declared = declared(&lines);
        for wanted in ["Invocations", "CallsDenied", "KillSwitchOn", "PolicyUnavailable", "RolloutsStalled"] {
            assert!(declared.iter().any(|(name, _)| name == wanted), "{wanted}: {declared:?}");
        }
        for (name, sets) in &declared {
            assert!(sets.as_array().unwrap().iter().all(|set| set[0] == "Stack"), "{name}: {sets}");
        }
        assert!(declared.contains(&("KillSwitchOn".to_owned(), json!([["Stack", "Function"], ["Stack"]]))));
        for line in lines.iter().filter(|line| line.get("_aws").is_some()) {
            assert_eq!(line["Stack"], "prod", "{line}");
        }
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
