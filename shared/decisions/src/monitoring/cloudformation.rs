//! The alarms of a mesh as a CloudFormation template.

use serde_json::{Map, Value, json};

use super::required::{NodeAlarms, RequiredAlarm, digest};

/// The most resources that a template may have.
const MOST_RESOURCES: usize = 500;

/// Why alarms can't be one template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudFormationError {
    /// More resources than a template may have.
    #[error("a template has at most {MOST_RESOURCES} resources, and these alarms are {count}; select virtual nodes")]
    TooMany {
        /// The number of alarms.
        count: usize,
    },
}

/// A template with these alarms. Its parameter `AlarmTopicArn` is the topic of `route-failover`.
pub fn cloudformation(targets: &[NodeAlarms]) -> Result<Value, CloudFormationError> {
    let mut resources = Map::new();
    for target in targets {
        let children = target.alarms.iter().map(|alarm| logical_id(&alarm.name)).collect::<Vec<_>>();
        for (id, alarm) in children.iter().zip(&target.alarms) {
            let properties = metric_alarm(target, alarm);
            resources.insert(id.clone(), json!({"Type": "AWS::CloudWatch::Alarm", "Properties": properties}));
        }
        let composite = json!({
            "Type": "AWS::CloudWatch::CompositeAlarm",
            // The rule names them, and CloudWatch refuses a rule over an alarm that does not exist.
            "DependsOn": children,
            "Properties": {
                "AlarmName": target.composite,
                "AlarmDescription": target.description(),
                "AlarmRule": target.rule(),
                "AlarmActions": [{"Ref": "AlarmTopicArn"}],
                "OKActions": [{"Ref": "AlarmTopicArn"}],
                "Tags": tags(target),
            },
        });
        resources.insert(logical_id(&target.composite), composite);
    }
    if resources.len() > MOST_RESOURCES {
        return Err(CloudFormationError::TooMany { count: resources.len() });
    }
    Ok(json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Alarms on the targets of a mesh's routes, for Meshwarden's failover",
        "Parameters": {
            "AlarmTopicArn": {
                "Type": "String",
                "Description": "The topic of route-failover: output AlarmTopic of Meshwarden's stack",
                "AllowedPattern": "arn:[a-z0-9-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+",
            },
        },
        "Resources": resources,
    }))
}

fn metric_alarm(target: &NodeAlarms, alarm: &RequiredAlarm) -> Value {
    let dimensions: Vec<Value> =
        target.dimensions().iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    let mut queries: Vec<Value> = alarm
        .metrics
        .iter()
        .map(|metric| {
            json!({
                "Id": metric.id,
                "MetricStat": {
                    "Metric": {
                        "Namespace": target.namespace,
                        "MetricName": metric.metric,
                        "Dimensions": dimensions,
                    },
                    "Period": target.period,
                    "Stat": metric.stat,
                },
                "ReturnData": false,
            })
        })
        .collect();
    queries.push(json!({
        "Id": RequiredAlarm::EXPRESSION_ID,
        "Expression": alarm.expression,
        "ReturnData": true,
    }));
    json!({
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": alarm.threshold,
        "EvaluationPeriods": target.evaluation_periods,
        "DatapointsToAlarm": target.datapoints_to_alarm,
        "TreatMissingData": RequiredAlarm::TREAT_MISSING_DATA,
        "Metrics": queries,
        "Tags": tags(target),
    })
}

fn tags(target: &NodeAlarms) -> Vec<Value> {
    target.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// A logical id: letters and digits only. A digest keeps apart what differs in other characters.
fn logical_id(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
    format!("{letters}{}", digest(name))
}
