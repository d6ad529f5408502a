//! A replacement of CloudWatch that answers with the alarms and data of a test, over the SDK's protocol.
//!
//! It has features that the local stack lacks: `EvaluationState`, metrics of other accounts, contributors, and gaps that an
//! expression fills. `GetMetricData` evaluates only enough to distinguish published data points from filled ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cbor;

/// The replacement. Its server stops when this is dropped.
#[derive(Debug)]
pub struct CloudWatch {
    /// The endpoint of the API.
    pub endpoint: String,
    world: Arc<Mutex<World>>,
    serving: JoinHandle<()>,
}

/// The data for the answers.
#[derive(Debug, Default)]
pub struct World {
    /// The alarms, as `DescribeAlarms` returns them.
    pub alarms: Vec<Value>,
    /// The metrics that have data points.
    pub data: Vec<Value>,
    /// The accounts with metrics that the caller may not read.
    pub forbidden: Vec<String>,
    /// The contributors of each alarm.
    pub contributors: BTreeMap<String, Value>,
    /// The tags of each alarm.
    pub tags: BTreeMap<String, Value>,
    /// The mute rules: `name`, `alarms` and `status`.
    pub mute_rules: Vec<Value>,
}

impl CloudWatch {
    /// Starts the replacement.
    pub async fn start(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(world));
        let app = Router::new()
            .route("/service/{service}/operation/{operation}", post(answer))
            .with_state(Arc::clone(&world));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { endpoint, world, serving }
    }

    /// Changes the data for the answers.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.lock().unwrap());
    }
}

impl Drop for CloudWatch {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl World {
    fn mute_rule(&self, name: &Value) -> Option<&Value> {
        self.mute_rules.iter().find(|rule| rule["name"] == *name)
    }

    /// Moves a mute rule into a status.
    pub fn set_mute_rule(&mut self, name: &str, status: &str) {
        let rule = self.mute_rules.iter_mut().find(|rule| rule["name"] == name);
        rule.unwrap_or_else(|| unreachable!("the case has no mute rule {name}"))["status"] = json!(status);
    }

    /// Moves an alarm into a state, just now.
    pub fn set_state(&mut self, name: &str, state: &str) {
        let alarm = self.alarms.iter_mut().find(|alarm| alarm["AlarmName"] == name);
        let alarm = alarm.unwrap_or_else(|| unreachable!("the case has no alarm {name}"));
        if alarm["StateValue"] != state {
            let now = json!(Timestamp::now().as_duration().as_secs_f64());
            alarm["StateTransitionedTimestamp"] = now.clone();
            alarm["StateUpdatedTimestamp"] = now;
            alarm["StateValue"] = json!(state);
        }
    }
}

async fn answer(
    State(world): State<Arc<Mutex<World>>>,
    Path((_, operation)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let request = if body.is_empty() { json!({}) } else { cbor::decode(&body) };
    let world = world.lock().unwrap();
    let answer = match operation.as_str() {
        "DescribeAlarms" => describe_alarms(&world, &request),
        "GetMetricData" => get_metric_data(&world, &request),
        "ListTagsForResource" => {
            let name = request["ResourceARN"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default();
            let tags = world.tags.get(name).and_then(Value::as_object).into_iter().flatten();
            let tags: Vec<Value> = tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
            json!({ "Tags": tags })
        }
        "DescribeAlarmContributors" => {
            let name = request["AlarmName"].as_str().unwrap_or_default();
            json!({ "AlarmContributors": world.contributors.get(name).cloned().unwrap_or_else(|| json!([])) })
        }
        "ListAlarmMuteRules" => list_alarm_mute_rules(&world, &request),
        "GetAlarmMuteRule" => match world.mute_rule(&request["AlarmMuteRuleName"]) {
            Some(rule) => json!({ "Name": rule["name"], "AlarmMuteRuleArn": rule_arn(rule), "Status": rule["status"],
                "MuteTargets": { "AlarmNames": rule["alarms"] } }),
            None => return (StatusCode::NOT_FOUND, "no such mute rule").into_response(),
        },
        other => return (StatusCode::NOT_IMPLEMENTED, format!("no {other} here")).into_response(),
    };
    ([("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")], cbor::encode(&answer)).into_response()
}

/// One rule per page, filtered by the requested status.
fn list_alarm_mute_rules(world: &World, request: &Value) -> Value {
    let wanted = request["Statuses"].as_array();
    let is_wanted = |rule: &&Value| wanted.is_none_or(|wanted| wanted.is_empty() || wanted.contains(&rule["status"]));
    let from = request["NextToken"].as_str().and_then(|token| token.parse::<usize>().ok()).unwrap_or_default();
    let rules: Vec<&Value> = world.mute_rules.iter().filter(is_wanted).collect();
    let summary = |rule: &&Value| json!({ "AlarmMuteRuleArn": rule_arn(rule), "Status": rule["status"] });
    let page: Vec<Value> = rules.get(from).map(summary).into_iter().collect();
    let mut answer = json!({ "AlarmMuteRuleSummaries": page });
    if from + 1 < rules.len() {
        answer["NextToken"] = json!((from + 1).to_string());
    }
    answer
}

fn rule_arn(rule: &Value) -> String {
    format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm-mute-rule:{}", rule["name"].as_str().unwrap())
}

fn describe_alarms(world: &World, request: &Value) -> Value {
    let names = request["AlarmNames"].as_array();
    let prefix = request["AlarmNamePrefix"].as_str().unwrap_or_default();
    let wanted = |alarm: &&Value| {
        let name = alarm["AlarmName"].as_str().unwrap();
        match names {
            Some(names) if !names.is_empty() => names.iter().any(|wanted| wanted == name),
            _ => name.starts_with(prefix),
        }
    };
    let (composite, metric): (Vec<&Value>, Vec<&Value>) =
        world.alarms.iter().filter(wanted).partition(|alarm| alarm.get("AlarmRule").is_some());
    json!({ "MetricAlarms": metric, "CompositeAlarms": composite })
}

fn get_metric_data(world: &World, request: &Value) -> Value {
    let queries = request["MetricDataQueries"].as_array().unwrap();
    let end = request["EndTime"].as_f64().unwrap();
    let results: Vec<Value> = queries
        .iter()
        .filter(|query| query["ReturnData"].as_bool() != Some(false))
        .map(|query| {
            let value = value_of(world, queries, query);
            let forbidden = world.forbidden.iter().any(|account| query["AccountId"] == json!(account));
            let points: Vec<f64> = value.filter(|_| !forbidden).into_iter().flat_map(|value| [value; 3]).collect();
            let times: Vec<f64> =
                (0..points.len()).map(|index| end - 1.0 - f64::from(u8::try_from(index).unwrap())).collect();
            let status = if forbidden { "Forbidden" } else { "Complete" };
            json!({ "Id": query["Id"], "Timestamps": times, "Values": points, "StatusCode": status })
        })
        .collect();
    json!({ "MetricDataResults": results })
}

/// The value of a Metrics Insights query, of the first series that has data and meets the conditions.
fn selected(world: &World, expression: &str) -> Option<f64> {
    let meets = |(name, value): (&String, &Value)| {
        let is_condition = expression.contains(&format!("\"{name}\" = '"));
        !is_condition || expression.contains(&format!("\"{name}\" = '{}'", value.as_str().unwrap()))
    };
    let is_selected = |data: &&Value| {
        let metric = data["metric"].as_str().unwrap();
        expression.contains(&format!("({metric})")) && data["dimensions"].as_object().unwrap().iter().all(meets)
    };
    world.data.iter().find(is_selected).map(|data| data["value"].as_f64().unwrap())
}

/// The value of a query, which is the same at every time; `None` without data points.
fn value_of(world: &World, queries: &[Value], query: &Value) -> Option<f64> {
    if let Some(expression) = query["Expression"].as_str() {
        if expression.starts_with("SELECT") {
            return selected(world, expression);
        }
        let referred = |other: &&Value| {
            let id = other["Id"].as_str().unwrap();
            id != query["Id"] && expression.contains(id)
        };
        let values: Vec<Option<f64>> =
            queries.iter().filter(referred).map(|other| value_of(world, queries, other)).collect();
        // In the expression's result, a filled gap is a data point.
        let filled = expression.contains("FILL(");
        return if filled || values.iter().all(Option::is_some) { Some(0.0) } else { None };
    }
    let metric = &query["MetricStat"]["Metric"];
    let dimensions: BTreeMap<&str, &str> = metric["Dimensions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|dimension| (dimension["Name"].as_str().unwrap(), dimension["Value"].as_str().unwrap()))
        .collect();
    let has_data = |data: &&Value| {
        let is_wanted =
            |(name, value): (&String, &Value)| dimensions.get(name.as_str()).is_some_and(|found| value == *found);
        data["metric"] == metric["MetricName"]
            && data.get("account").unwrap_or(&Value::Null) == &query["AccountId"]
            && data["dimensions"].as_object().unwrap().iter().all(is_wanted)
    };
    world.data.iter().find(has_data).map(|data| data["value"].as_f64().unwrap())
}
