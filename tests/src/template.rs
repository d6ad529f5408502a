//! Reads `infra/template.yaml` for tests: the role of each function, and the alarms on its metrics.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};

use crate::stack::{ACCOUNT, REGION};

/// The template with every condition true.
#[derive(Debug)]
pub struct Template(Value);

/// One statement of a role, for one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The statement's id.
    pub sid: String,
    /// Whether it allows the action; otherwise it denies it.
    pub allows: bool,
    /// The action, as in `appmesh:DescribeRoute`.
    pub action: String,
    /// The resources, as ARN patterns.
    pub resources: Vec<String>,
    /// The condition; `null` without one.
    pub condition: Value,
}

/// An alarm on metrics that functions write into their logs, or on Lambda's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// The name without the stack's name.
    pub name: String,
    /// The namespace of its metric.
    pub namespace: String,
    /// The name of its metric.
    pub metric: String,
    /// The dimensions.
    pub dimensions: Vec<(String, String)>,
    /// `Sum` or `Maximum`.
    pub statistic: String,
    /// `GreaterThanOrEqualToThreshold` or `LessThanThreshold`.
    pub comparison: String,
    /// The threshold.
    pub threshold: f64,
}

/// A rule of an event bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRule {
    /// The logical name.
    pub name: String,
    /// Whether it is on the account's default bus, which many principals may put events on.
    pub is_on_default_bus: bool,
    /// The sources of its pattern; empty for a pattern of any source.
    pub sources: Vec<String>,
    /// The pattern.
    pub pattern: Value,
    /// The function that the rule invokes, by the name of its binary; `None` for a rule with other targets.
    pub function: Option<String>,
}

/// The name of the tests' stack.
pub(crate) const STACK: &str = "meshwarden";

/// The values of the template's pseudo parameters in the tests' stacks.
const NAMES: [(&str, &str); 4] =
    [("AWS::StackName", STACK), ("AWS::Partition", "aws"), ("AWS::Region", REGION), ("AWS::AccountId", ACCOUNT)];

impl Template {
    /// Reads the template.
    #[must_use]
    pub fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml");
        Self(document(&std::fs::read_to_string(path).unwrap()))
    }

    /// The functions, by the names of their binaries.
    #[must_use]
    pub fn functions(&self) -> Vec<String> {
        let binary = |resource: &Value| resource["Metadata"]["BuildProperties"]["Binary"].as_str().map(str::to_owned);
        self.resources().filter_map(|(_, resource)| binary(resource)).collect()
    }

    /// The statements for the calls of a function's code, one for each action.
    #[must_use]
    pub fn role(&self, function: &str) -> Vec<Grant> {
        self.policy(function, "calls")
    }

    /// The statements for what Lambda itself does with the role of a function, one for each action.
    #[must_use]
    pub fn runtime(&self, function: &str) -> Vec<Grant> {
        self.policy(function, "runtime")
    }

    /// The properties of a function.
    #[must_use]
    pub fn properties(&self, function: &str) -> Value {
        let mut found = self.resources().map(|(_, resource)| resource);
        let resource = found.find(|resource| resource["Metadata"]["BuildProperties"]["Binary"] == function);
        self.evaluated(&resource.unwrap_or_else(|| unreachable!("no function {function}"))["Properties"])
    }

    /// The declaration of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &Value {
        &self.0["Parameters"][name]
    }

    /// The ARN of the stack's event bus in the tests.
    #[must_use]
    pub fn bus(&self) -> Value {
        Self::attribute("EventBus.Arn")
    }

    /// The resources of a type, by their logical names, with their properties.
    #[must_use]
    pub fn resources_of(&self, kind: &str) -> Vec<(String, Value)> {
        let found = self.resources().filter(|(_, resource)| resource["Type"] == kind);
        found.map(|(name, resource)| (name.clone(), self.evaluated(&resource["Properties"]))).collect()
    }

    fn policy(&self, function: &str, name: &str) -> Vec<Grant> {
        let properties = self.properties(function);
        let role = properties["Role"].as_str().unwrap().trim_end_matches(".Arn");
        let policies = self.0["Resources"][role]["Properties"]["Policies"].as_array().unwrap();
        let policy = policies.iter().find(|policy| policy["PolicyName"] == name).unwrap();
        let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
        let mut grants = Vec::new();
        for statement in statements.iter().map(|one| self.evaluated(one)).filter(|statement| !statement.is_null()) {
            let text = |member: &str| statement[member].as_str().unwrap_or_default().to_owned();
            for action in texts(&statement["Action"]) {
                grants.push(Grant {
                    sid: text("Sid"),
                    allows: statement["Effect"] == "Allow",
                    action,
                    resources: texts(&statement["Resource"]),
                    condition: statement["Condition"].clone(),
                });
            }
        }
        grants
    }

    /// The alarms on metrics of this function, and those on metrics of all functions of the stack.
    #[must_use]
    pub fn alarms(&self, function: &str) -> Vec<Alarm> {
        let alarms = self.resources().filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
        let alarms = alarms.map(|(_, resource)| {
            let properties = self.evaluated(&resource["Properties"]);
            let text = |member: &str| properties[member].as_str().unwrap_or_default().to_owned();
            let dimensions = properties["Dimensions"].as_array().into_iter().flatten();
            let part = |dimension: &Value, member: &str| dimension[member].as_str().unwrap_or_default().to_owned();
            Alarm {
                name: text("AlarmName").trim_start_matches("meshwarden-").to_owned(),
                namespace: text("Namespace"),
                metric: text("MetricName"),
                dimensions: dimensions.map(|one| (part(one, "Name"), part(one, "Value"))).collect(),
                statistic: text("Statistic"),
                comparison: text("ComparisonOperator"),
                threshold: properties["Threshold"].as_f64().unwrap(),
            }
        });
        let of_stack = [("Stack".to_owned(), STACK.to_owned())];
        alarms
            .filter(|alarm| alarm.dimensions == of_stack || alarm.dimensions.iter().any(|(_, value)| value == function))
            .collect()
    }

    /// The rules of event buses, those of functions included.
    #[must_use]
    pub fn event_rules(&self) -> Vec<EventRule> {
        let mut rules = Vec::new();
        let mut add = |name: String, function: Option<&str>, properties: &Value, pattern: &str| {
            rules.push(EventRule {
                name,
                is_on_default_bus: properties.get("EventBusName").is_none(),
                sources: properties[pattern].get("source").map(texts).unwrap_or_default(),
                pattern: self.evaluated(&properties[pattern]),
                function: function.map(str::to_owned),
            });
        };
        for (name, resource) in self.resources() {
            if resource["Type"] == "AWS::Events::Rule" && resource["Properties"].get("EventPattern").is_some() {
                add(name.clone(), None, &resource["Properties"], "EventPattern");
            }
            for (event, properties) in resource["Properties"]["Events"].as_object().into_iter().flatten() {
                if properties["Type"] == "EventBridgeRule" {
                    let function = resource["Metadata"]["BuildProperties"]["Binary"].as_str();
                    add(format!("{name}.{event}"), function, &properties["Properties"], "Pattern");
                }
            }
        }
        rules
    }

    /// The statements of the resource policy of the stack's event bus.
    #[must_use]
    pub fn bus_policy(&self) -> Vec<Value> {
        let statements = self.evaluated(&self.0["Resources"]["EventBus"]["Properties"]["Policy"]["Statement"]);
        statements.as_array().cloned().unwrap_or_default()
    }

    fn resources(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0["Resources"].as_object().unwrap().iter()
    }

    /// Evaluates the intrinsic functions in a value. `AWS::NoValue` becomes `null`.
    fn evaluated(&self, value: &Value) -> Value {
        let function = value.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
        match (function, value) {
            (Some((name, argument)), _) if name == "Ref" => self.named(argument.as_str().unwrap()),
            (Some((name, argument)), _) if name == "Fn::GetAtt" => Self::attribute(argument.as_str().unwrap()),
            (Some((name, argument)), _) if name == "Fn::Sub" => match argument.as_array().map(Vec::as_slice) {
                Some([text, names]) => Value::from(self.substituted(text.as_str().unwrap(), &self.evaluated(names))),
                _ => Value::from(self.substituted(argument.as_str().unwrap(), &Value::Null)),
            },
            (Some((name, argument)), _) if name == "Fn::Join" => {
                let [separator, parts] = self.pair(argument);
                Value::from(texts(&parts).join(separator.as_str().unwrap()))
            }
            (Some((name, argument)), _) if name == "Fn::Split" => {
                let [separator, text] = self.pair(argument);
                text.as_str().unwrap().split(separator.as_str().unwrap()).map(Value::from).collect()
            }
            // Every condition is true, so that optional resources are included.
            (Some((name, argument)), _) if name == "Fn::If" => self.evaluated(&argument[1]),
            (_, Value::Array(items)) => {
                let items = items.iter().map(|item| self.evaluated(item)).filter(|item| !item.is_null());
                items.flat_map(|item| if let Value::Array(items) = item { items } else { vec![item] }).collect()
            }
            (_, Value::Object(members)) => {
                members.iter().map(|(name, value)| (name.clone(), self.evaluated(value))).collect::<Map<_, _>>().into()
            }
            (_, other) => other.clone(),
        }
    }

    /// The two arguments of a function.
    fn pair(&self, arguments: &Value) -> [Value; 2] {
        [0, 1].map(|index| self.evaluated(&arguments[index]))
    }

    fn named(&self, name: &str) -> Value {
        if let Some((_, value)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Value::from(*value);
        }
        match name {
            "AWS::NoValue" => Value::Null,
            "MeshNames" | "BundleKeys" => json!(["*"]),
            "PolicyObject" => json!("rules/policy.yaml"),
            "PolicyParameter" => json!("/meshwarden/policy"),
            "ReportsBucket" => json!("reports"),
            "RolloutHooks" => json!("meshwarden-hook-*"),
            "NotificationTopic" => json!(format!("arn:aws:sns:{REGION}:{ACCOUNT}:notices")),
            other => match &self.0["Resources"][other]["Metadata"]["BuildProperties"]["Binary"] {
                Value::String(binary) => json!(binary),
                _ => json!(other),
            },
        }
    }

    fn attribute(path: &str) -> Value {
        json!(match path {
            // Each test has a separate table.
            "StateTable.Arn" => format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/*"),
            "EventBus.Arn" => format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"),
            other => other.to_owned(),
        })
    }

    /// Replaces the names in a text. `own` has values for this text only.
    fn substituted(&self, text: &str, own: &Value) -> String {
        let mut parts = text.split("${");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            // `${!NAME}` is `${NAME}` without substitution, a variable of IAM.
            if let Some(literal) = name.strip_prefix('!') {
                result.extend(["${", literal, "}", rest]);
                continue;
            }
            let value = match own.get(name) {
                Some(value) => value.clone(),
                None if name.contains('.') => Self::attribute(name),
                None => self.named(name),
            };
            result.push_str(value.as_str().unwrap());
            result.push_str(rest);
        }
        result
    }
}

/// A single text, or a list of texts.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
        Value::String(text) => vec![text.clone()],
        other => unreachable!("no text: {other}"),
    }
}

/// A collection that is not closed yet, with its tag and its items; a mapping has alternating keys and values.
struct Open {
    tag: Option<String>,
    is_mapping: bool,
    items: Vec<Value>,
}

/// Parses one YAML document, and converts CloudFormation's short tags into the long form.
fn document(text: &str) -> Value {
    let mut open = vec![Open { tag: None, is_mapping: false, items: Vec::new() }];
    for next in Parser::new_from_str(text) {
        let (event, _) = next.unwrap();
        let done = match event {
            Event::Scalar(text, style, _, tag) => {
                let value = if style == ScalarStyle::Plain { plain(&text) } else { Value::from(text.as_ref()) };
                Some(tagged(tag.as_ref().map(|tag| tag.suffix()), value))
            }
            Event::SequenceStart(_, _, tag) => {
                open.push(Open { tag: tag.map(|tag| tag.suffix().to_owned()), is_mapping: false, items: Vec::new() });
                None
            }
            Event::MappingStart(_, _, tag) => {
                open.push(Open { tag: tag.map(|tag| tag.suffix().to_owned()), is_mapping: true, items: Vec::new() });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { tag, is_mapping, items } = open.pop().unwrap();
                let value = if is_mapping {
                    let pairs = items.chunks(2).map(|pair| {
                        let key = pair[0].as_str().map_or_else(|| pair[0].to_string(), str::to_owned);
                        (key, pair[1].clone())
                    });
                    pairs.collect::<Map<_, _>>().into()
                } else {
                    Value::Array(items)
                };
                Some(tagged(tag.as_deref(), value))
            }
            _ => None,
        };
        if let Some(value) = done {
            open.last_mut().unwrap().items.push(value);
        }
    }
    open.remove(0).items.remove(0)
}

fn plain(text: &str) -> Value {
    let number = || text.parse::<i64>().ok().filter(|number| number.to_string() == text).map(Value::from);
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => number().unwrap_or_else(|| Value::from(text)),
    }
}

fn tagged(tag: Option<&str>, value: Value) -> Value {
    match tag {
        None => value,
        Some(name @ ("Ref" | "Condition")) => json!({ name: value }),
        Some(name) => json!({ (format!("Fn::{name}")): value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_alarms_are_read_with_their_names_filled_in() {
        let template = Template::read();
        assert_eq!(template.functions().len(), 8);
        for function in template.functions() {
            let role = template.role(&function);
            assert!(role.iter().any(|grant| grant.allows && grant.action == "sns:Publish"), "{function}");
            let text = format!("{role:?}");
            let text = text.replace("${*}", "");
            assert!(!text.contains("Fn::") && !text.contains("${"), "{function}: {text}");
            let alarms = template.alarms(&function);
            let permissions = alarms.iter().find(|alarm| alarm.name == format!("{function}-permissions")).unwrap();
            assert_eq!((permissions.metric.as_str(), permissions.namespace.as_str()), ("CallsDenied", "Meshwarden"));
            let errors = alarms.iter().find(|alarm| alarm.name == format!("{function}-errors"));
            assert_eq!(errors.unwrap().namespace, "AWS/Lambda");
        }
    }
}
