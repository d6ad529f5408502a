//! Matches the patterns of the template's event rules against the sample events of the functions.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use meshwarden_tests::template::Template;
use serde_json::{Value, json};

/// Whether an event matches a pattern, in the part of EventBridge's language that the template uses.
fn matches(pattern: &Value, event: &Value) -> bool {
    match pattern {
        Value::Object(members) => members.iter().all(|(name, pattern)| matches(pattern, &event[name.as_str()])),
        Value::Array(alternatives) => alternatives.iter().any(|one| match event {
            Value::Array(values) => values.iter().any(|value| is_value(one, value)),
            value => is_value(one, value),
        }),
        other => unreachable!("no pattern of EventBridge: {other}"),
    }
}

/// Whether a value is one of the alternatives.
fn is_value(alternative: &Value, value: &Value) -> bool {
    let Some((condition, argument)) = alternative.as_object().and_then(|members| members.iter().next()) else {
        return alternative == value;
    };
    match (condition.as_str(), argument) {
        ("prefix", Value::String(prefix)) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
        ("exists", Value::Bool(wanted)) => value.is_null() != *wanted,
        ("anything-but", Value::Object(_)) => !value.is_null() && !is_value(argument, value),
        ("anything-but", Value::Array(values)) => !value.is_null() && !values.contains(value),
        ("anything-but", other) => !value.is_null() && other != value,
        (other, _) => unreachable!("add the condition `{other}` to this test"),
    }
}

/// The sample events of a function that arrive as events of a bus, by their files.
fn samples(function: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("events").join(function);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let event: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let is_of_bus = event["source"].is_string() && event["detail-type"].is_string();
        is_of_bus.then(|| (path.file_name().unwrap().to_string_lossy().into_owned(), event))
    };
    files.filter_map(read).collect()
}

#[test]
fn every_rule_of_a_function_matches_a_sample_event_of_it() {
    let rules = Template::read().event_rules();
    let of_functions: Vec<_> = rules.iter().filter_map(|rule| Some((rule, rule.function.as_deref()?))).collect();
    assert!(of_functions.len() >= 6, "{of_functions:#?}");
    let unmatched: Vec<&str> = of_functions
        .iter()
        .filter(|(rule, function)| !samples(function).iter().any(|(_, event)| matches(&rule.pattern, event)))
        .map(|(rule, _)| rule.name.as_str())
        .collect();
    assert!(unmatched.is_empty(), "no sample event matches the rules {unmatched:?}");
}

/// A sample that no rule delivers would test an event that the function never gets.
#[test]
fn every_sample_event_of_the_weight_writers_matches_a_rule() {
    let rules = Template::read().event_rules();
    for function in ["traffic-shift", "failover-drill", "route-failover"] {
        let own: Vec<_> = rules.iter().filter(|rule| rule.function.as_deref() == Some(function)).collect();
        let events = samples(function);
        // The schedule is no rule with a pattern.
        let scheduled = |event: &Value| event["detail-type"] == "Scheduled Event";
        for (file, event) in events.iter().filter(|(_, event)| !scheduled(event)) {
            assert!(own.iter().any(|rule| matches(&rule.pattern, event)), "no rule delivers {function}/{file}");
        }
        assert!(events.iter().any(|(_, event)| scheduled(event)), "{function} has no sample of its schedule");
    }
}

/// The alarms of the stack itself must not trigger a function that moves weights, and a gate that clears is no trigger.
#[test]
fn alarms_of_the_stack_and_cleared_alarms_do_not_invoke_traffic_shift() {
    let rules = Template::read().event_rules();
    let events = samples("traffic-shift");
    let (_, alarm) = events.iter().find(|(file, _)| file == "alarm-metric.json").unwrap();
    let is_delivered = |change: &dyn Fn(&mut Value)| {
        let mut event = alarm.clone();
        change(&mut event);
        let mut own = rules.iter().filter(|rule| rule.function.as_deref() == Some("traffic-shift"));
        own.any(|rule| matches(&rule.pattern, &event))
    };
    assert!(is_delivered(&|_| {}));
    assert!(!is_delivered(&|event| event["detail"]["alarmName"] = json!("meshwarden-traffic-shift-errors")));
    assert!(!is_delivered(&|event| event["detail"]["state"]["value"] = json!("OK")));
}

/// The rule sends every failed event to the dead-letter queue, except a scheduled run: the next one does the same work.
#[test]
fn failed_events_are_dead_letters_and_failed_scheduled_runs_are_not() {
    let rules = Template::read().event_rules();
    let rule = rules.iter().find(|rule| rule.name == "FailedInvocations").unwrap();
    let is_dead_letter = |payload: &Value| {
        let event = json!({ "source": "lambda", "detail-type": "Lambda Function Invocation Result - Failure",
            "detail": { "requestContext": { "condition": "RetriesExhausted" }, "requestPayload": payload } });
        matches(&rule.pattern, &event)
    };
    let (mut scheduled, mut others) = (0, 0);
    for function in Template::read().functions() {
        for (file, event) in samples(&function) {
            let is_scheduled = event["detail-type"] == "Scheduled Event";
            *(if is_scheduled { &mut scheduled } else { &mut others }) += 1;
            assert_eq!(is_dead_letter(&event), !is_scheduled, "{function}/{file}");
        }
    }
    assert!(scheduled >= 8 && others >= 20, "{scheduled} and {others} samples");
    // A direct invocation and a notification of SNS have no detail type.
    assert!(is_dead_letter(&json!({ "action": "start" })));
    let mut succeeded = json!({ "source": "lambda", "detail-type": "Lambda Function Invocation Result - Success" });
    succeeded["detail"]["requestPayload"] = json!({});
    assert!(!matches(&rule.pattern, &succeeded));
}
