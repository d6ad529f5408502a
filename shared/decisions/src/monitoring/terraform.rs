//! The alarms of a mesh as Terraform's JSON syntax.

use serde_json::{Map, Value, json};

use super::required::{NodeAlarms, RequiredAlarm, digest};

/// A `.tf.json` document with these alarms. Its variable `alarm_topic_arn` is the topic of `route-failover`.
#[must_use]
pub fn terraform(targets: &[NodeAlarms]) -> Value {
    let mut metric_alarms = Map::new();
    let mut composite_alarms = Map::new();
    for target in targets {
        let children: Vec<String> = target.alarms.iter().map(|alarm| label(&alarm.name)).collect();
        for (label, alarm) in children.iter().zip(&target.alarms) {
            metric_alarms.insert(label.clone(), metric_alarm(target, alarm));
        }
        let composite = json!({
            "alarm_name": literal(&target.composite),
            "alarm_description": literal(&target.description()),
            "alarm_rule": literal(&target.rule()),
            "alarm_actions": ["${var.alarm_topic_arn}"],
            "ok_actions": ["${var.alarm_topic_arn}"],
            "tags": tags(target),
            // The rule names them by text, which Terraform can't see.
            "depends_on": children.iter().map(|label| format!("{METRIC_ALARM}.{label}")).collect::<Vec<_>>(),
        });
        composite_alarms.insert(label(&target.composite), composite);
    }
    let mut resources = Map::new();
    for (kind, those) in [(METRIC_ALARM, metric_alarms), ("aws_cloudwatch_composite_alarm", composite_alarms)] {
        // An empty block is an error.
        if !those.is_empty() {
            resources.insert(kind.to_owned(), Value::Object(those));
        }
    }
    json!({
        "variable": {
            "alarm_topic_arn": {
                "type": "string",
                "description": "The topic of route-failover: output AlarmTopic of Meshwarden's stack",
            },
        },
        "resource": resources,
    })
}

const METRIC_ALARM: &str = "aws_cloudwatch_metric_alarm";

fn metric_alarm(target: &NodeAlarms, alarm: &RequiredAlarm) -> Value {
    let dimensions: Map<String, Value> =
        target.dimensions().iter().map(|(name, value)| ((*name).to_owned(), literal(value).into())).collect();
    let mut queries: Vec<Value> = alarm
        .metrics
        .iter()
        .map(|metric| {
            json!({
                "id": metric.id,
                "return_data": false,
                "metric": [{
                    "namespace": literal(&target.namespace),
                    "metric_name": metric.metric,
                    "dimensions": dimensions,
                    "period": target.period,
                    "stat": metric.stat,
                }],
            })
        })
        .collect();
    queries.push(json!({
        "id": RequiredAlarm::EXPRESSION_ID,
        "expression": alarm.expression,
        "label": alarm.kind.suffix(),
        "return_data": true,
    }));
    json!({
        "alarm_name": literal(&alarm.name),
        "alarm_description": literal(&alarm.description),
        "comparison_operator": "GreaterThanThreshold",
        "threshold": alarm.threshold,
        "evaluation_periods": target.evaluation_periods,
        "datapoints_to_alarm": target.datapoints_to_alarm,
        "treat_missing_data": RequiredAlarm::TREAT_MISSING_DATA,
        "metric_query": queries,
        "tags": tags(target),
    })
}

fn tags(target: &NodeAlarms) -> Map<String, Value> {
    target.tags.iter().map(|(key, value)| (literal(key), literal(value).into())).collect()
}

/// Text in which Terraform finds no template: names may have `${` and `%{` in them.
fn literal(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

/// A resource's label: letters, digits, dashes and underscores. A digest keeps apart what differs in other characters.
fn label(name: &str) -> String {
    let kept: String = name.chars().take(60).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{kept}_{}", digest(name))
}
