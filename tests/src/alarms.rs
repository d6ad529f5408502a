//! Evaluates the template's alarms on the log of a function.
//!
//! CloudWatch extracts metrics from log lines in its embedded metric format. Each metric value is one data point here:
//! a test's log is much shorter than the shortest period of an alarm.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::template::Alarm;

/// One data point of a metric.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    namespace: String,
    metric: String,
    dimensions: BTreeSet<(String, String)>,
    value: f64,
}

/// The names of the alarms that are in `ALARM` after a log, of those with an upper threshold. `errors` is the number of
/// failed invocations and starts, which Lambda counts.
#[must_use]
pub fn on(alarms: &[Alarm], log: &str, errors: usize) -> BTreeSet<String> {
    let points: Vec<Point> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).flat_map(|line| points(&line)).collect();
    alarms.iter().filter(|alarm| is_on(alarm, &points, errors)).map(|alarm| alarm.name.clone()).collect()
}

fn is_on(alarm: &Alarm, points: &[Point], errors: usize) -> bool {
    if alarm.comparison != "GreaterThanOrEqualToThreshold" {
        return false;
    }
    if alarm.namespace == "AWS/Lambda" {
        return alarm.metric == "Errors"
            && u32::try_from(errors).is_ok_and(|errors| f64::from(errors) >= alarm.threshold);
    }
    let wanted: BTreeSet<(String, String)> = alarm.dimensions.iter().cloned().collect();
    let matching = points.iter().filter(|point| {
        point.namespace == alarm.namespace && point.metric == alarm.metric && point.dimensions == wanted
    });
    let values: Vec<f64> = matching.map(|point| point.value).collect();
    let statistic = match alarm.statistic.as_str() {
        "Sum" => values.iter().sum(),
        "Maximum" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "Minimum" => values.iter().copied().fold(f64::INFINITY, f64::min),
        other => unreachable!("no alarm uses {other}"),
    };
    !values.is_empty() && statistic >= alarm.threshold
}

/// The data points of one line.
fn points(line: &Value) -> Vec<Point> {
    let groups = line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten();
    let of_group = |group: &Value| {
        let metrics = group["Metrics"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&group["Namespace"]);
        let mut points = Vec::new();
        // A value counts once for each set of dimensions.
        for names in group["Dimensions"].as_array().into_iter().flatten().filter_map(Value::as_array) {
            let dimensions: BTreeSet<_> = names.iter().map(|name| (text(name), text(&line[text(name)]))).collect();
            let point = |metric: &Value| {
                let metric = text(&metric["Name"]);
                let value = line[&metric].as_f64()?;
                Some(Point { namespace: namespace.clone(), metric, dimensions: dimensions.clone(), value })
            };
            points.extend(metrics.iter().filter_map(point));
        }
        points
    };
    groups.flat_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::template::Template;

    #[test]
    fn alarm_is_on_for_its_own_metric_at_its_threshold() {
        let alarms = Template::read().alarms("tag-compliance");
        let line = |namespace: &str, function: &str, value: u32| {
            json!({ "_aws": { "CloudWatchMetrics": [{ "Namespace": namespace, "Dimensions": [[], ["Stack", "Function"]],
                "Metrics": [{ "Name": "CallsDenied" }] }] }, "Stack": "meshwarden", "Function": function, "CallsDenied": value })
            .to_string()
        };
        let expected = BTreeSet::from(["tag-compliance-permissions".to_owned()]);
        for (log, errors, is_on) in [
            (line("Meshwarden", "tag-compliance", 1), 0, true),
            (line("Meshwarden", "tag-compliance", 0), 0, false),
            (line("Meshwarden", "change-audit", 1), 0, false),
            (line("Other", "tag-compliance", 1), 0, false),
            ("tag-compliance: CallsDenied 1".to_owned(), 0, false),
        ] {
            assert_eq!(on(&alarms, &log, errors) == expected, is_on, "{log}");
        }
        assert_eq!(on(&alarms, "", 1), BTreeSet::from(["tag-compliance-errors".to_owned()]));
    }
}
