//! The declarations of each function in `infra/template.yaml`, as tables in Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

/// The short forms of CloudFormation's functions. Their arguments are shown as they are written.
const TAGS: [&str; 11] = ["Sub", "Ref", "GetAtt", "If", "Equals", "Not", "Join", "Split", "And", "Or", "Condition"];

/// The parsed template.
pub(super) struct Template(Value);

/// A schedule of a function.
pub(super) struct Schedule {
    /// The function, by the name of its binary.
    pub(super) function: String,
    /// The number of runs in an hour.
    pub(super) per_hour: f64,
    /// The memory of the function.
    pub(super) megabytes: f64,
}

impl Template {
    /// Parses the template. Tags are dropped: `!Ref Name` is `Name`, and `!If` is its list of arguments.
    pub(super) fn parse(text: &str) -> Self {
        let mut plain = text.to_owned();
        for tag in TAGS {
            plain = plain.replace(&format!("!{tag} "), "").replace(&format!("!{tag}\n"), "\n");
        }
        Self(serde_saphyr::from_str(&plain).unwrap_or_else(|error| panic!("failed to parse the template: {error}")))
    }

    fn resources(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0["Resources"].as_object().unwrap().iter()
    }

    /// The logical name and the resource of a function.
    fn function(&self, function: &str) -> (&String, &Value) {
        let is_it = |(_, resource): &(&String, &Value)| resource["Metadata"]["BuildProperties"]["Binary"] == function;
        self.resources().find(is_it).unwrap_or_else(|| panic!("the template has no function {function}"))
    }

    /// Everything that invokes the function.
    pub(super) fn triggers(&self, function: &str) -> String {
        let (logical, resource) = self.function(function);
        let mut rows = BTreeSet::new();
        for (name, event) in resource["Properties"]["Events"].as_object().unwrap() {
            let properties = &event["Properties"];
            rows.insert(match text(&event["Type"]) {
                "Schedule" => format!("| schedule | {} |", text(&properties["Schedule"])),
                "EventBridgeRule" => format!("| event, {} | {} |", bus(properties), pattern(&properties["Pattern"])),
                "SNS" => format!("| SNS topic `{}` | alarms that act through it |", name_of(&properties["Topic"])),
                "SQS" => {
                    let queue = name_of(&properties["Queue"]);
                    let batch = &properties["BatchSize"];
                    format!("| SQS queue `{queue}` | batches of up to {batch}; {} |", self.sources(&queue))
                }
                other => panic!("event {name} of {function} has an unknown type {other}"),
            });
        }
        for (_, other) in self.resources().filter(|(_, other)| text(&other["Type"]) == "AWS::Lambda::Permission") {
            if name_of(&other["Properties"]["FunctionName"]) == *logical {
                let principal = text(&other["Properties"]["Principal"]);
                rows.insert(format!("| direct invocation | by `{principal}`{} |", condition(other)));
            }
        }
        table("| trigger | what |", rows)
    }

    /// The messages that a queue receives.
    fn sources(&self, queue: &str) -> String {
        let mut rules = Vec::new();
        for (_, resource) in self.resources().filter(|(_, resource)| text(&resource["Type"]) == "AWS::Events::Rule") {
            let properties = &resource["Properties"];
            let targets = properties["Targets"].as_array().unwrap();
            if targets.iter().any(|target| name_of(&target["Arn"]) == queue) {
                rules.push(format!("{}: {}", bus(properties), pattern(&properties["EventPattern"])));
            }
        }
        if rules.is_empty() {
            "events that another account, region or topic sends there".to_owned()
        } else {
            rules.join("; ")
        }
    }

    /// Limits and variables of the function.
    pub(super) fn settings(&self, function: &str) -> String {
        let properties = &self.function(function).1["Properties"];
        let mut rows = vec![
            format!("| memory | {} MB |", properties["MemorySize"]),
            format!("| time-out | {} s |", properties["Timeout"]),
        ];
        let asynchronous = &properties["EventInvokeConfig"];
        rows.push(format!(
            "| retries of an asynchronous event | {} within {} s, then the dead-letter queue; a scheduled run is dropped |",
            asynchronous["MaximumRetryAttempts"], asynchronous["MaximumEventAgeInSeconds"]
        ));
        let variables = properties["Environment"]["Variables"].as_object().unwrap();
        let names: Vec<String> = variables.keys().map(|name| format!("`{name}`")).collect();
        rows.push(format!("| variables | {} |", names.join(", ")));
        table("| setting | value |", rows)
    }

    /// Every statement of the function's role.
    pub(super) fn permissions(&self, function: &str) -> String {
        let role = name_of(&self.function(function).1["Properties"]["Role"]);
        let policies = self.0["Resources"][&role]["Properties"]["Policies"].as_array().unwrap();
        let statements = policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
        let mut rows = Vec::new();
        for statement in statements {
            // `!If [CONDITION, STATEMENT, NoValue]`.
            let (statement, only_if) = match statement.as_array() {
                Some(parts) => (&parts[1], format!(" (only if `{}`)", text(&parts[0]))),
                None => (statement, String::new()),
            };
            let denied = if text(&statement["Effect"]) == "Deny" { "**denied:** " } else { "" };
            let actions = list(&statement["Action"], |action| format!("`{action}`"));
            let resources = resources(&statement["Resource"]);
            let resources = list(&resources, |resource| format!("`{}`", short(resource)));
            let conditions = condition_text(&statement["Condition"]);
            rows.push(format!("| {denied}{actions}{only_if} | {resources} | {conditions} |"));
        }
        table("| actions | resources | condition |", rows)
    }

    /// The alarms on the function itself.
    pub(super) fn alarms(&self, function: &str) -> String {
        let prefix = format!("{function}-");
        let rows = self.alarm_names().filter_map(|(name, properties)| {
            let name = name.strip_prefix(&prefix)?;
            let metric = format!("{}/{}", text(&properties["Namespace"]), text(&properties["MetricName"]));
            let is_low = text(&properties["ComparisonOperator"]) == "LessThanThreshold";
            let seconds = &properties["Period"];
            let (periods, needed) = (&properties["EvaluationPeriods"], properties.get("DatapointsToAlarm"));
            let of = needed.map_or_else(|| periods.to_string(), |needed| format!("{needed} of {periods}"));
            let sign = if is_low { "<" } else { "≥" };
            let statistic = text(&properties["Statistic"]);
            let when = format!("{statistic} {sign} {} in {of} x {seconds} s", properties["Threshold"]);
            Some(format!("| `{name}` | `{metric}` | {when} | {} |", text(&properties["AlarmDescription"])))
        });
        table("| alarm | metric | fires on | meaning |", rows)
    }

    fn alarm_names(&self) -> impl Iterator<Item = (&str, &Value)> {
        let alarms = self.resources().filter(|(_, resource)| text(&resource["Type"]) == "AWS::CloudWatch::Alarm");
        alarms.map(|(_, resource)| {
            let properties = &resource["Properties"];
            (text(&properties["AlarmName"]).strip_prefix("${AWS::StackName}-").unwrap(), properties)
        })
    }

    /// The names of all alarms without the function.
    pub(super) fn alarm_kinds(&self, functions: &[&str]) -> BTreeSet<String> {
        let kind = |name: &str| {
            let of = functions.iter().find_map(|function| name.strip_prefix(&format!("{function}-")));
            of.unwrap_or(name).to_owned()
        };
        self.alarm_names().map(|(name, _)| kind(name)).collect()
    }

    /// The schedules of all functions.
    pub(super) fn scheduled_runs_per_hour(&self) -> Vec<Schedule> {
        let mut runs = Vec::new();
        for (_, resource) in self.resources() {
            let properties = &resource["Properties"];
            let events = properties.get("Events").and_then(Value::as_object).into_iter().flatten();
            for (_, event) in events.filter(|(_, event)| text(&event["Type"]) == "Schedule") {
                let rate = text(&event["Properties"]["Schedule"]).trim_start_matches("rate(").trim_end_matches(')');
                let (count, unit) = rate.split_once(' ').unwrap();
                let minutes = match unit.trim_end_matches('s') {
                    "minute" => 1.0,
                    "hour" => 60.0,
                    "day" => 24.0 * 60.0,
                    other => panic!("`{rate}` has the unknown unit `{other}`"),
                };
                runs.push(Schedule {
                    function: text(&resource["Metadata"]["BuildProperties"]["Binary"]).to_owned(),
                    per_hour: 60.0 / (minutes * count.parse::<f64>().unwrap()),
                    megabytes: properties["MemorySize"].as_f64().unwrap(),
                });
            }
        }
        runs
    }

    /// The functions with an alarm on the heartbeat that each run publishes.
    pub(super) fn heartbeats(&self) -> Vec<String> {
        let alarms = self.alarm_names().filter(|(_, properties)| {
            text(&properties["Namespace"]) == "Meshwarden" && text(&properties["TreatMissingData"]) == "breaching"
        });
        let function = |name: &str| name.rsplit_once('-').unwrap().0.to_owned();
        alarms.map(|(name, _)| function(name)).collect()
    }

    /// The numbers of alarms, and of the metrics that they read.
    pub(super) fn alarm_counts(&self) -> (usize, usize) {
        let read = |properties: &Value| {
            let queries = properties.get("Metrics").and_then(Value::as_array);
            queries.map_or(1, |queries| queries.iter().filter(|query| query.get("MetricStat").is_some()).count())
        };
        let metrics: Vec<usize> = self.alarm_names().map(|(_, properties)| read(properties)).collect();
        (metrics.len(), metrics.iter().sum())
    }

    /// The number of queues that Lambda polls.
    pub(super) fn polled_queues(&self) -> usize {
        let events = self.resources().filter_map(|(_, resource)| resource["Properties"].get("Events")?.as_object());
        events.flatten().filter(|(_, event)| text(&event["Type"]) == "SQS").count()
    }

    /// The variables of all functions.
    pub(super) fn variables(&self) -> BTreeSet<String> {
        let variables = self
            .resources()
            .filter_map(|(_, resource)| resource["Properties"].get("Environment")?.get("Variables")?.as_object());
        variables.flat_map(|variables| variables.keys().cloned()).collect()
    }

    /// The parameters.
    pub(super) fn parameters(&self) -> BTreeSet<String> {
        self.0["Parameters"].as_object().unwrap().keys().cloned().collect()
    }
}

fn table(head: &str, rows: impl IntoIterator<Item = String>) -> String {
    let columns = head.matches('|').count() - 1;
    let mut text = format!("{head}\n|{}\n", "---|".repeat(columns));
    for row in rows {
        writeln!(text, "{row}").unwrap();
    }
    text
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The logical name in `!Ref NAME` and `!GetAtt NAME.Arn`.
fn name_of(value: &Value) -> String {
    text(value).trim_end_matches(".Arn").to_owned()
}

/// One value or a list of them.
fn list(value: &Value, each: impl Fn(&str) -> String) -> String {
    match value {
        Value::Array(values) => values.iter().map(|value| each(text(value))).collect::<Vec<_>>().join(", "),
        one => each(text(one)),
    }
}

/// The resources of a statement. `!If [CONDITION, RESOURCE, OTHER]` is its first resource, and
/// `!Split [",", !Sub [ARNS, {NAME: ...}]]` is the ARNs for one mesh.
fn resources(value: &Value) -> Value {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(condition), first, _]) if condition.starts_with("Creates") => first.clone(),
        Some([Value::String(separator), Value::Array(substitution)]) if separator == "," => {
            let mut arns = text(&substitution[0]).to_owned();
            for name in ["Names", "First", "Second"] {
                arns = arns.replace(&format!("${{{name}}}"), "${MeshNames}");
            }
            arns.split(',').collect::<Vec<_>>().into()
        }
        _ => value.clone(),
    }
}

/// A resource without what every ARN of the stack has.
fn short(resource: &str) -> String {
    let name = resource.trim_end_matches(".Arn");
    // `${!NAME}` is `${NAME}` without substitution.
    let name = name.replace("${!", "${");
    name.replace("arn:${AWS::Partition}:", "").replace("${AWS::Region}:", "").replace("${AWS::AccountId}:", "")
}

fn condition_text(condition: &Value) -> String {
    let mut parts = Vec::new();
    for (operator, members) in condition.as_object().into_iter().flatten() {
        for (key, value) in members.as_object().into_iter().flatten() {
            parts.push(format!("{operator} `{key}` {}", list(value, |value| format!("`{}`", short(value)))));
        }
    }
    parts.join("; ")
}

fn condition(resource: &Value) -> String {
    resource.get("Condition").map_or_else(String::new, |name| format!(", only if `{}`", text(name)))
}

fn bus(properties: &Value) -> String {
    properties.get("EventBusName").map_or_else(|| "default bus".to_owned(), |bus| format!("bus `{}`", name_of(bus)))
}

/// The source and the detail types of a pattern.
fn pattern(pattern: &Value) -> String {
    let one = |value: &Value| match value.get("prefix") {
        Some(prefix) => format!("{}...", text(prefix)),
        None => text(value).to_owned(),
    };
    let each = |values: &Value| values.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ");
    let source = pattern.get("source").map_or_else(|| "any source".to_owned(), |source| format!("`{}`", each(source)));
    format!("{source}: {}", each(&pattern["detail-type"]))
}
