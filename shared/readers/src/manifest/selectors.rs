//! Label selectors of Kubernetes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::declare::text_of;

/// A selector. A missing selector selects nothing, and an empty one selects all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selector<'v>(Option<&'v Value>);

/// The labels of an object, as far as they are known.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    pub(super) known: BTreeMap<String, String>,
    /// Whether the object has no other labels.
    pub(super) is_complete: bool,
}

impl<'v> Selector<'v> {
    pub(super) fn new(selector: Option<&'v Value>) -> Self {
        Self(selector.filter(|selector| !selector.is_null()))
    }

    /// Whether the selector is missing.
    pub(super) const fn is_missing(self) -> bool {
        self.0.is_none()
    }

    /// The requirements that are not valid, each with its member below the selector and the reason. Kubernetes refuses to
    /// evaluate a selector with one, so the selector selects nothing.
    pub(super) fn faults(self) -> Vec<(String, String)> {
        let expressions = self.0.and_then(|selector| selector.get("matchExpressions")).and_then(Value::as_array);
        let faults = expressions.into_iter().flatten().enumerate().filter_map(|(index, expression)| {
            let (member, problem) = fault(expression)?;
            Some((format!("matchExpressions[{index}].{member}"), problem))
        });
        let labels = self.0.and_then(|selector| selector.get("matchLabels"));
        let of_labels = labels_that_are_no_text(labels).map(|(key, problem)| (format!("matchLabels.{key}"), problem));
        faults.chain(of_labels).collect()
    }

    /// Whether labels meet all requirements; all labels are known.
    pub(super) fn matches_all_known(self, labels: &BTreeMap<String, String>) -> bool {
        self.matches(&Labels { known: labels.clone(), is_complete: true }).unwrap_or(false)
    }

    /// Whether labels meet all requirements; `None` if that depends on unknown labels.
    pub(super) fn matches(self, labels: &Labels) -> Option<bool> {
        let Some(selector) = self.0 else { return Some(false) };
        if !self.faults().is_empty() {
            return Some(false);
        }
        let equal = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
        let equal = equal.map(|(key, value)| match labels.known.get(key) {
            Some(label) => Some(text_of(value).as_ref() == Some(label)),
            None => labels.absent(),
        });
        let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
        let verdicts: Vec<Option<bool>> =
            equal.chain(expressions.map(|expression| meets(expression, labels))).collect();
        if verdicts.contains(&Some(false)) {
            Some(false)
        } else if verdicts.contains(&None) {
            None
        } else {
            Some(true)
        }
    }
}

impl Labels {
    /// The result of a requirement for a label that is not among the known ones.
    const fn absent(&self) -> Option<bool> {
        if self.is_complete { Some(false) } else { None }
    }
}

/// The labels with a value that is not a text, each with the problem. Kubernetes refuses them.
pub(super) fn labels_that_are_no_text(labels: Option<&Value>) -> impl Iterator<Item = (&String, String)> {
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key, text_problem(value, "label")?)))
}

/// The problem of a value that YAML does not read as a text, although Kubernetes requires one there.
pub(super) fn text_problem(value: &Value, what: &str) -> Option<String> {
    let kind = match value {
        Value::Bool(value) => format!("is the boolean {value}; in YAML 1.1 `yes`, `no`, `on` and `off` are booleans"),
        Value::Number(number) => format!("is the number {number}"),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(format!("{kind}, and a {what} is a text: quote it"))
}

fn meets(expression: &Value, labels: &Labels) -> Option<bool> {
    let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
    let label = labels.known.get(text("key"));
    let values = expression.get("values").and_then(Value::as_array);
    let is_among = |label: &String| values.into_iter().flatten().any(|value| text_of(value).as_ref() == Some(label));
    let not = |met: bool| !met;
    match text("operator") {
        "In" => label.map_or_else(|| labels.absent(), |label| Some(is_among(label))),
        "NotIn" => label.map_or_else(|| labels.absent().map(not), |label| Some(!is_among(label))),
        "Exists" => label.map_or_else(|| labels.absent(), |_| Some(true)),
        "DoesNotExist" => label.map_or_else(|| labels.absent().map(not), |_| Some(false)),
        _ => Some(false),
    }
}

/// What Kubernetes refuses of a requirement: the member, and the reason.
fn fault(expression: &Value) -> Option<(&'static str, String)> {
    let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
    let has_values = expression.get("values").and_then(Value::as_array).is_some_and(|values| !values.is_empty());
    if text("key").is_empty() {
        return Some(("key", "is required: name a label".to_owned()));
    }
    match text("operator") {
        "In" | "NotIn" if has_values => None,
        "Exists" | "DoesNotExist" if !has_values => None,
        operator @ ("In" | "NotIn") => {
            Some(("values", format!("is empty, and the operator `{operator}` needs values: add one")))
        }
        operator @ ("Exists" | "DoesNotExist") => {
            Some(("values", format!("is not empty, and the operator `{operator}` has no values: remove them")))
        }
        operator => Some(("operator", format!("is `{operator}`, must be one of In, NotIn, Exists, DoesNotExist"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select_as_kubernetes_says() {
        let labels = BTreeMap::from([("mesh".to_owned(), "shop".to_owned()), ("v".to_owned(), "1".to_owned())]);
        let expression = |operator: &str, key: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let table = [
            (json!(null), false),
            (json!({}), true),
            (json!({"matchLabels": {"mesh": "shop"}}), true),
            (json!({"matchLabels": {"mesh": "shop", "v": "1"}}), true),
            (json!({"matchLabels": {"mesh": "shop", "v": 1}}), false),
            (json!({"matchLabels": {"mesh": true}}), false),
            (json!({"matchLabels": {"mesh": "other"}}), false),
            (json!({"matchLabels": {"gateway": "edge"}}), false),
            (expression("In", "mesh", json!(["a", "shop"])), true),
            (expression("In", "gateway", json!(["a"])), false),
            (expression("NotIn", "mesh", json!(["shop"])), false),
            (expression("NotIn", "gateway", json!(["shop"])), true),
            (expression("Exists", "v", json!(null)), true),
            (expression("DoesNotExist", "v", json!(null)), false),
            (expression("Near", "v", json!(null)), false),
            (expression("NotIn", "gateway", json!([])), false),
            (expression("Exists", "v", json!(["1"])), false),
            (expression("NotIn", "", json!(["1"])), false),
        ];
        for (selector, expected) in table {
            assert_eq!(Selector::new(Some(&selector)).matches_all_known(&labels), expected, "{selector}");
        }
        assert!(!Selector::new(None).matches_all_known(&labels));
    }

    #[test]
    fn labels_that_are_not_known_decide_nothing() {
        let labels = Labels { known: BTreeMap::from([("a".to_owned(), "1".to_owned())]), is_complete: false };
        let expression = |operator: &str, key: &str| {
            let values = if operator.ends_with("In") { json!(["1"]) } else { json!(null) };
            json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
        };
        let table = [
            (json!({}), Some(true)),
            (json!({"matchLabels": {"a": "1"}}), Some(true)),
            (json!({"matchLabels": {"a": "2", "b": "1"}}), Some(false)),
            (json!({"matchLabels": {"a": "1", "b": "1"}}), None),
            (expression("In", "b"), None),
            (expression("NotIn", "b"), None),
            (expression("NotIn", "a"), Some(false)),
            (expression("Exists", "b"), None),
            (expression("DoesNotExist", "b"), None),
            (expression("DoesNotExist", "a"), Some(false)),
        ];
        for (selector, expected) in table {
            assert_eq!(Selector::new(Some(&selector)).matches(&labels), expected, "{selector}");
        }
        assert_eq!(Selector::new(None).matches(&labels), Some(false));
    }
}
