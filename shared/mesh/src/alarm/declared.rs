//! Alarms as files declare them, before any account has them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Alarm, AlarmName, AlarmSource, AlarmState, Comparison, Condition, MetricQuery, MetricTerm, MissingData, PromQlQuery,
};

/// The deepest that modules of a Terraform plan call modules.
const DEEPEST: usize = 64;

/// An alarm of a template or a plan, with the properties that CloudFormation gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredAlarm {
    /// The file.
    pub file: String,
    /// The resource in the file: a logical id or an address.
    pub id: String,
    /// Whether its source is a rule over other alarms.
    is_composite: bool,
    /// The properties, as `AWS::CloudWatch::Alarm` and `AWS::CloudWatch::CompositeAlarm` have them.
    properties: Map<String, Value>,
}

impl DeclaredAlarm {
    /// The alarm of a resource of a CloudFormation template; `None` for a resource of another type.
    #[must_use]
    pub fn from_cloudformation(file: &str, id: &str, kind: &str, properties: &Map<String, Value>) -> Option<Self> {
        let is_composite = match kind {
            "AWS::CloudWatch::Alarm" => false,
            "AWS::CloudWatch::CompositeAlarm" => true,
            _ => return None,
        };
        Some(Self { file: file.to_owned(), id: id.to_owned(), is_composite, properties: properties.clone() })
    }

    /// Whether a type of CloudFormation's is an alarm.
    #[must_use]
    pub fn is_cloudformation_type(kind: &str) -> bool {
        matches!(kind, "AWS::CloudWatch::Alarm" | "AWS::CloudWatch::CompositeAlarm")
    }

    /// The alarms of a Terraform plan or state, from all its modules.
    #[must_use]
    pub fn from_terraform(file: &str, document: &Value) -> Vec<Self> {
        let values = ["planned_values", "values"].iter().find_map(|name| document.get(name));
        let mut found = Vec::new();
        if let Some(root) = values.and_then(|values| values.get("root_module")) {
            module(file, root, &mut found, DEEPEST);
        }
        found
    }

    /// The alarm as it would be read from an account just after its creation; `None` where its name is not known.
    #[must_use]
    pub fn alarm(&self) -> Option<Alarm> {
        let name = AlarmName::parse(&self.text("AlarmName").unwrap_or_else(|| self.id.clone())).ok()?;
        let source = if self.is_composite {
            AlarmSource::Composite(self.text("AlarmRule").unwrap_or_default())
        } else {
            self.source()
        };
        let condition = if self.is_composite { None } else { self.condition() };
        let actions_enabled = self.text("ActionsEnabled").is_none_or(|enabled| enabled != "false");
        Some(Alarm { actions_enabled, condition, ..Alarm::new(name, "", AlarmState::InsufficientData, source) })
    }

    /// The tags.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<String, String> {
        let tags = self.properties.get("Tags").and_then(Value::as_array).into_iter().flatten();
        tags.filter_map(|tag| Some((text(tag.get("Key")?)?, text(tag.get("Value")?)?))).collect()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.properties.get(name).and_then(text)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.properties.get(name).and_then(number)
    }

    fn source(&self) -> AlarmSource {
        let query = self.properties.get("EvaluationCriteria").and_then(|criteria| criteria.get("PromQLCriteria"));
        if let Some(query) = query.and_then(|criteria| criteria.get("Query")).and_then(text) {
            return AlarmSource::PromQl(PromQlQuery { query, pending_period: None, recovery_period: None });
        }
        let lines = self.properties.get("Metrics").and_then(Value::as_array).filter(|lines| !lines.is_empty());
        let queries = match lines {
            Some(lines) => lines.iter().map(query_of).collect(),
            None => self.single().map(|query| vec![query]),
        };
        queries.map_or_else(
            || AlarmSource::Unreadable("its metrics are not known from the file".to_owned()),
            AlarmSource::Metric,
        )
    }

    fn single(&self) -> Option<MetricQuery> {
        let term = MetricTerm::Stat {
            namespace: self.text("Namespace")?,
            metric: self.text("MetricName")?,
            dimensions: dimensions(self.properties.get("Dimensions")),
            period: self.number("Period").unwrap_or_default(),
            stat: self.text("Statistic").or_else(|| self.text("ExtendedStatistic")).unwrap_or_default(),
            unit: self.text("Unit"),
        };
        Some(MetricQuery::new("m1", term))
    }

    fn condition(&self) -> Option<Condition> {
        let comparison = self.properties.get("ComparisonOperator")?;
        Some(Condition {
            comparison: serde_json::from_value::<Comparison>(comparison.clone()).ok()?,
            threshold: self.properties.get("Threshold").and_then(|threshold| text(threshold)?.parse().ok()),
            band: self.text("ThresholdMetricId"),
            evaluation_periods: self.number("EvaluationPeriods"),
            datapoints_to_alarm: self.number("DatapointsToAlarm"),
            missing_data: match self.text("TreatMissingData").as_deref() {
                None | Some("" | "missing") => MissingData::Missing,
                Some("ignore") => MissingData::Ignore,
                Some("breaching") => MissingData::Breaching,
                Some("notBreaching") => MissingData::NotBreaching,
                Some(other) => MissingData::Unrecognised(other.to_owned()),
            },
        })
    }
}

/// A line of `Metrics`; `None` where it has neither a metric nor an expression.
fn query_of(line: &Value) -> Option<MetricQuery> {
    let member = |name: &str| line.get(name).and_then(text);
    let term = match line.get("MetricStat").filter(|stat| !stat.is_null()) {
        Some(stat) => {
            let metric = stat.get("Metric")?;
            MetricTerm::Stat {
                namespace: metric.get("Namespace").and_then(text)?,
                metric: metric.get("MetricName").and_then(text)?,
                dimensions: dimensions(metric.get("Dimensions")),
                period: stat.get("Period").and_then(number).unwrap_or_default(),
                stat: stat.get("Stat").and_then(text).unwrap_or_default(),
                unit: stat.get("Unit").and_then(text),
            }
        }
        None => {
            MetricTerm::Expression { expression: member("Expression")?, period: line.get("Period").and_then(number) }
        }
    };
    Some(MetricQuery {
        returns_data: member("ReturnData").is_none_or(|returns| returns != "false"),
        account_id: member("AccountId"),
        ..MetricQuery::new(&member("Id").unwrap_or_default(), term)
    })
}

fn dimensions(given: Option<&Value>) -> BTreeMap<String, String> {
    let given = given.and_then(Value::as_array).into_iter().flatten();
    given.filter_map(|one| Some((text(one.get("Name")?)?, text(one.get("Value")?)?))).collect()
}

/// Text, or a number or truth value written as one: templates spell them either way.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(value: &Value) -> Option<u32> {
    text(value)?.parse().ok()
}

/// The alarms of a module and of those below it.
fn module(file: &str, planned: &Value, found: &mut Vec<DeclaredAlarm>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let list = |name: &str| planned.get(name).and_then(Value::as_array).into_iter().flatten();
    for resource in list("resources") {
        let member = |name: &str| resource.get(name).and_then(Value::as_str);
        let is_composite = match member("type") {
            Some("aws_cloudwatch_metric_alarm") => false,
            Some("aws_cloudwatch_composite_alarm") => true,
            Some(_) | None => continue,
        };
        if let (Some(address), Some(Value::Object(values))) = (member("address"), resource.get("values")) {
            let properties = respelt(values);
            found.push(DeclaredAlarm { file: file.to_owned(), id: address.to_owned(), is_composite, properties });
        }
    }
    for child in list("child_modules") {
        module(file, child, found, depth);
    }
}

/// Terraform's arguments of an alarm as CloudFormation's properties.
fn respelt(values: &Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    for (name, value) in values.iter().filter(|(_, value)| !value.is_null()) {
        let (name, value) = match name.as_str() {
            "dimensions" => ("Dimensions".to_owned(), pairs(value, "Name")),
            "metric_query" => ("Metrics".to_owned(), lines(value)),
            // `tags_all` includes the default tags of the provider, unless it is unknown before the apply.
            "tags" if values.get("tags_all").is_some_and(Value::is_object) => continue,
            "tags" | "tags_all" => ("Tags".to_owned(), pairs(value, "Key")),
            other => (camel_case(other), value.clone()),
        };
        properties.insert(name, value);
    }
    properties
}

/// A map as a list of names and values.
fn pairs(map: &Value, key: &str) -> Value {
    let entries = map.as_object().into_iter().flatten();
    entries
        .map(|(name, value)| Value::from_iter([(key, Value::from(name.as_str())), ("Value", value.clone())]))
        .collect()
}

/// The blocks `metric_query` as `Metrics`.
fn lines(blocks: &Value) -> Value {
    let blocks = blocks.as_array().into_iter().flatten().filter_map(Value::as_object);
    let line = |block: &Map<String, Value>| {
        let mut line = Map::new();
        for (name, value) in block.iter().filter(|(_, value)| !value.is_null()) {
            if name != "metric" {
                line.insert(camel_case(name), value.clone());
            }
        }
        let metric = block.get("metric").and_then(Value::as_array).and_then(|blocks| blocks.first());
        if let Some(Value::Object(metric)) = metric {
            let mut stat = respelt(metric);
            let of_stat = ["Period", "Stat", "Unit"].map(|name| (name, stat.shift_remove(name)));
            let mut all: Map<String, Value> =
                of_stat.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            all.insert("Metric".to_owned(), Value::Object(stat));
            line.insert("MetricStat".to_owned(), Value::Object(all));
        }
        Value::Object(line)
    };
    blocks.map(line).collect()
}

/// `treat_missing_data` as `TreatMissingData`.
fn camel_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut is_first = true;
    for letter in name.chars() {
        if letter == '_' {
            is_first = true;
        } else if is_first {
            text.push(letter.to_ascii_uppercase());
            is_first = false;
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One alarm in a CloudFormation template and in a Terraform plan.
    fn both() -> [DeclaredAlarm; 2] {
        let properties = json!({
            "AlarmName": "v1-errors", "ComparisonOperator": "GreaterThanThreshold", "Threshold": "0.05",
            "EvaluationPeriods": 3, "TreatMissingData": "breaching",
            "Metrics": [
                {"Id": "errors", "ReturnData": false, "MetricStat": {"Stat": "Sum", "Period": 60, "Metric": {
                    "Namespace": "AppMesh", "MetricName": "HTTPCode_Target_5XX_Count",
                    "Dimensions": [{"Name": "Mesh", "Value": "shop"}, {"Name": "TargetVirtualNode", "Value": "v1"}],
                }}},
                {"Id": "ratio", "Expression": "errors / 100", "ReturnData": true},
            ],
            "Tags": [{"Key": "team", "Value": "shop"}],
        });
        let Value::Object(properties) = properties else { panic!() };
        let template = DeclaredAlarm::from_cloudformation("t", "A", "AWS::CloudWatch::Alarm", &properties).unwrap();
        let plan = json!({"planned_values": {"root_module": {"child_modules": [{"resources": [{
            "address": "module.a.aws_cloudwatch_metric_alarm.v1", "mode": "managed", "type": "aws_cloudwatch_metric_alarm",
            "values": {
                "alarm_name": "v1-errors", "comparison_operator": "GreaterThanThreshold", "threshold": 0.05,
                "evaluation_periods": 3, "treat_missing_data": "breaching", "namespace": null,
                "metric_query": [
                    {"id": "errors", "return_data": false, "expression": null, "metric": [{
                        "namespace": "AppMesh", "metric_name": "HTTPCode_Target_5XX_Count", "period": 60, "stat": "Sum",
                        "dimensions": {"Mesh": "shop", "TargetVirtualNode": "v1"}, "unit": null,
                    }]},
                    {"id": "ratio", "expression": "errors / 100", "return_data": true, "metric": []},
                ],
                "tags": {"team": "shop"}, "tags_all": {"team": "shop"},
            },
        }]}]}}});
        [template, DeclaredAlarm::from_terraform("p", &plan).remove(0)]
    }

    #[test]
    fn template_and_plan_declare_the_same_alarm() {
        let [template, plan] = both();
        assert_eq!(template.alarm(), plan.alarm());
        assert_eq!(template.tags(), plan.tags());
        let alarm = template.alarm().unwrap();
        assert_eq!(alarm.queries().len(), 2);
        assert_eq!((alarm.queries()[0].returns_data, alarm.queries()[1].returns_data), (false, true));
        let condition = alarm.condition.unwrap();
        assert_eq!((condition.threshold, condition.missing_data), (Some(0.05), MissingData::Breaching));
    }

    #[test]
    fn alarm_on_one_metric_and_composite_alarm_are_read() {
        let of = |kind: &str, properties: Value| {
            let Value::Object(properties) = properties else { panic!() };
            DeclaredAlarm::from_cloudformation("t", "A", kind, &properties).and_then(|declared| declared.alarm())
        };
        let single = json!({"Namespace": "AppMesh", "MetricName": "Errors", "Period": "60", "Statistic": "Sum",
            "Dimensions": [{"Name": "Mesh", "Value": "shop"}]});
        let alarm = of("AWS::CloudWatch::Alarm", single).unwrap();
        assert_eq!((alarm.name.as_str(), alarm.queries().len()), ("A", 1));
        let composite =
            of("AWS::CloudWatch::CompositeAlarm", json!({"AlarmName": "c", "AlarmRule": "ALARM(a)"})).unwrap();
        assert_eq!(composite.source, AlarmSource::Composite("ALARM(a)".to_owned()));
        let unknown = of("AWS::CloudWatch::Alarm", json!({"AlarmName": "x"})).unwrap();
        assert!(matches!(unknown.source, AlarmSource::Unreadable(_)));
        assert_eq!(of("AWS::SNS::Topic", json!({})), None);
    }
}
